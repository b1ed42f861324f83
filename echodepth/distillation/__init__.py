"""Distillation: frozen teachers, and the losses between their predictions and the student's."""
