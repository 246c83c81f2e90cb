"""The machine: cores, devices, memory."""
