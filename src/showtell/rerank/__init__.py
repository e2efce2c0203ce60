"""Fitting a reranker (`core/reranker`) to photos with captions."""
