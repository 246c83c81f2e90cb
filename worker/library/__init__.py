"""The library of label files: what is current, who works on what, publishing, adding, removing, carrying over."""
