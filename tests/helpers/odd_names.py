"""Names that users choose and that programs trip over: signs, scripts, lengths, and pairs that look the same."""

LONG = "b" * 300  # bytes; PostgreSQL has 63
ODD_NAMES = [
    "id", "time", "label", "prediction", "ID", "Id", "_dc_foo", "_DC_TIME", "order", "select", "and", "any feature",
    'he said "hi"', "it's; DROP TABLE x --", "back\\slash", "%s", "%(x)s", "50%", "{x}", "$1", ":x", "::int", "x:y",
    "x=y", "x,y", "a;b", "=1+1", "--", "-x", "a.b", "a[0]", "[...]", "[bold]", "`x`", "x` - at `$.y", "<b>", "1", "1.0",
    "true", "null", LONG + "1", LONG + "2", "c" * 63 + "1", "c" * 63 + "2", "é" * 40, "日本語", "🙂",
    "caf\u00e9", "cafe\u0301", "\u200frtl", "\u202eabc", "zero\u200bwidth", "zerowidth", "\ufeffbom", "\ue0000",
    "\u2028", " ", " lead", "trail ", "tab\tname", "line\nbreak", "line\r\nbreak", "\x01", "\x1b[31m", "\x7f",
]  # fmt: skip
