"""The gallery: collections of people with embeddings of their faces, and 1:N search in them.

`store.py` is the protocol of the store, `sqlite_store.py` its default implementation (its parts: `sqlite`).
`index.py` is the exact search in memory, and `gallery.py` combines them. Nothing here knows images or HTTP.
"""
