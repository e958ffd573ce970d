package ant

import "strings"

// longUpper holds the letters whose capital is more than one letter (Unicode SpecialCasing), which String.toUpperCase
// expands and strings.ToUpper does not. The Greek ones with iota subscript are left out: they fold to one letter on
// both sides of a comparison here.
var longUpper = strings.NewReplacer(
	"ß", "SS", "ŉ", "ʼN", "ǰ", "J̌", "և", "ԵՒ", "ẖ", "H̱", "ẗ", "T̈", "ẘ", "W̊", "ẙ", "Y̊", "ẚ", "Aʾ",
	"ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL", "ﬅ", "ST", "ﬆ", "ST",
	"ﬓ", "ՄՆ", "ﬔ", "ՄԵ", "ﬕ", "ՄԻ", "ﬖ", "ՎՆ", "ﬗ", "ՄԽ",
)

// upperJava is String.toUpperCase, by which Ant compares patterns without wildcards when case does not matter.
func upperJava(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return strings.ToUpper(longUpper.Replace(s))
}
