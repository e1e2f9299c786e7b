"""Runs the operations in replicas on a Ray cluster, below the HTTP layer. Off unless FACE_RAY_ADDRESS is set.

`cluster` alone imports Ray, which is optional: the extra `ray`.
"""
