"""Ways to spell a neuron's name, and which layer and index they mean, if any."""

Place = tuple[int, int]

SPELLINGS: dict[str, Place | None] = {
    "L22N57": (22, 57),
    "l22n57": (22, 57),
    "L22n57": (22, 57),
    " L22N57\t": (22, 57),
    "\u00a0L22N57\u3000": (22, 57),  # pasted from a page
    "\ufeffL22N57": (22, 57),  # white space to browsers
    "\x1cL22N57\x85": (22, 57),  # and to Python
    "L0N0": (0, 0),
    "L007N010": (7, 10),
    "L1N123456789": (1, 123456789),
    "L1N1234567890": None,  # ten digits
    "L1234567890N1": None,
    "L22": None,
    "N57": None,
    "L22N": None,
    "LN57": None,
    "L-1N5": None,
    "L+1N5": None,
    "L2.0N5": None,
    "L1_0N5": None,
    "L 22 N 57": None,
    "L22N57 L1N1": None,
    "22/57": None,
    "dog": None,
    "L２２N５７": None,  # digits, but not those of ASCII
    "L٢N٥": None,
    "Ⅼ22N57": None,  # a Roman numeral
    "L22E17N57": None,  # a neuron of an expert: not yet
    "L22S0N57": None,
}
