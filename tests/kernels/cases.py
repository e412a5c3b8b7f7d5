"""All cases by name: `CASES["conv2d/3x3_same"]` builds one; `build(name)` builds it and names it."""

import cases_elementwise
import cases_layout
import cases_text
import cases_weights

CASES = {}
for family in (cases_weights, cases_elementwise, cases_layout, cases_text):
    for name, function in family.cases():
        assert name not in CASES, name
        CASES[name] = function


def build(name):
    return CASES[name](name)
