"""Where weights come from: hub, folder, GGUF or adapter to single tensors, without building the model."""
