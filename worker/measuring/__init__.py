"""What neurons do on text, and what clamping them does to the tokens their labels name."""
