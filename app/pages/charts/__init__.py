"""Charts of lines: the places of everything in a box, which a template draws.

Places are percentages of the box, so that lines stretch with it and text does not. Every chart has its sentence, and a
table with the same numbers stands beside it. Knows numbers and words; knows nothing of HTML.
"""
