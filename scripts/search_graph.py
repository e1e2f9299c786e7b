"""Write `app/runtime/search.onnx`: the ONNX graph that searches a matrix of vectors.

    python -m scripts.search_graph

The graph is a product of matrices (Gemm) and a TopK. Its shapes are free, so that it fits every matrix.
"""

import onnx
from onnx import TensorProto, helper

from app.runtime.search_net import COUNT, GALLERY, GRAPH, PRODUCTS, QUERIES, ROWS

OPSET, IR_VERSION = 18, 8
"""Those of the model files."""


def content() -> bytes:
    """Return the content of the file."""
    inputs = [
        helper.make_tensor_value_info(QUERIES, TensorProto.FLOAT, ["queries", "dimension"]),
        helper.make_tensor_value_info(GALLERY, TensorProto.FLOAT, ["rows", "dimension"]),
        helper.make_tensor_value_info(COUNT, TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info(PRODUCTS, TensorProto.FLOAT, ["queries", "count"]),
        helper.make_tensor_value_info(ROWS, TensorProto.INT64, ["queries", "count"]),
    ]
    nodes = [
        helper.make_node("Gemm", [QUERIES, GALLERY], ["all_products"], transB=1),
        helper.make_node("TopK", ["all_products", COUNT], [PRODUCTS, ROWS], axis=1),
    ]
    graph = helper.make_graph(nodes, "search", inputs, outputs)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="facet",
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def main() -> None:
    """Write the file."""
    GRAPH.write_bytes(content())
    print(f"wrote {GRAPH.name}")


if __name__ == "__main__":
    main()
