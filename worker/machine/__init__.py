"""The machine: its cores, devices and memory."""
