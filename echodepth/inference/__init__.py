"""Depth prediction with trained models: files, videos, dataset splits, exported models and point clouds."""
