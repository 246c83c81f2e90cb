"""Charts of lines: the positions of everything in a box, which a template draws.

Positions are percentages of the box, so that lines stretch with it and text does not. Every chart has a sentence, and
a table of the same numbers stands beside it. Knows numbers and words; knows nothing of HTML.

"""
