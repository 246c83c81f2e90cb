"""The dog test as a measurement: do clamped neurons make a model speak of a concept, in text that can be read?"""
