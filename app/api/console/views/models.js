/** The loaded models, with their terms and figures. */

import { h, heading } from "../dom.js";
import { bytes, number, rate, text } from "../messages.js";
import { call } from "../service.js";

const TASKS = ["detect", "landmarks", "embed"];

/** Show the models by task. */
export async function showModels(root, _, signal) {
  const [{ models, weights }, version] = await Promise.all([
    call("GET", "models", { signal }), call("GET", "version", { signal }),
  ]);
  root.replaceChildren(
    heading(text("models.title"), text("models.about", version)),
    h("p.soft", {}, text(`models.weights.${weights}`)),
    ...TASKS.map(task => h("section", {},
      h("h2", {}, text(`models.task.${task}`)),
      h("div.cards", {}, models.filter(model => model.task === task).map(card)))));
}

function card(model) {
  const size = model.files.reduce((sum, file) => sum + file.bytes, 0);
  const facts = [
    ["models.licence", model.licence],
    ["models.source", model.source],
    ["models.size", bytes(size)],
    ["models.provider", text("models.runs", { provider: model.provider, precision: model.precision })],
  ];
  if (model.parts.length) facts.push(["models.parts", model.parts.join(", ")]);
  if (model.scheme) facts.push(["models.scheme", model.scheme]);
  if (model.dimension) facts.push(["models.dimension", text("models.metric", model)]);
  if (model.calibrated_on) facts.push(["models.calibrated_on", model.calibrated_on]);
  return h("article.card", {},
    h("h3", {}, model.name, " ",
      model.default ? h("span.badge", {}, text("models.default")) : null,
      model.research_only ? h("span.badge.warn", {}, text("models.research_only")) : null),
    h("dl.facts.wide", {}, facts.map(([key, value]) => h("div", {}, h("dt", {}, text(key)), h("dd", {}, value)))),
    thresholds(model),
    h("p.soft.hash", {}, text("models.sha256", { value: model.sha256 })));
}

function thresholds(model) {
  const rates = model.thresholds.filter(row => "far" in row);
  if (!rates.length) return null;
  const columns = ["far", "threshold", "tar"];
  return h("table", {},
    h("caption", {}, text("models.rates")),
    h("thead", {}, h("tr", {}, columns.map(name => h("th", { scope: "col" }, text(`models.${name}`))))),
    h("tbody", {}, rates.map(row => h("tr", {}, columns.map(name =>
      h("td", {}, row.far === model.default_far ? h("strong", {}, written(name, row)) : written(name, row)))))));
}

function written(name, row) {
  return name === "far" ? rate(row.far) : number(row[name], 4);
}
