"""The grammar of rule conditions, for the help of commands that take one; a test parses each form."""

CONDITIONS = """\b
Conditions, in quotes:
  [WHAT] COMPARISON [warn LEVEL] [unless usual]

\b
WHAT is compared; without it, any metric:
  f1_macro, "rate of change"     a metric; in quotes, names with signs
  all metrics                    each of them
  feature age, class A           an entry of the check's result
  any feature, all features      also class, score, output or entry

\b
COMPARISON:
  > 0.2                          also >= < <= == !=; 80% is 0.8
  outside 0.1..0.4               also inside
  drop > 20%                     from the window before; also rise, change
  drop > 20% against reference   from the value of the reference
  drop > 60% against weekly over 28 floor 1
                                 from the same hours of four weeks
  deviation > 3 over 14 min 7 floor 0.001
                                 in standard deviations of 14 windows;
                                 also deviation up, deviation down

\b
After it:
  > 0.3 warn 0.2                 a lower level, one severity lower
  > 0.3 unless usual over 35 steps 8
                                 not if 35 windows had such values, or
                                 vary so much from one to the next

What follows over, min, floor and steps may be left out. "dcmon docs
alerts#conditions" explains all of them."""
