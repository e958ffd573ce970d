package hudson

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// collationKey orders file names as java.text.Collator does for English and
// most other languages: by letters first, regardless of accents and case;
// blanks and hyphens hardly count.
//
//	primary    the letters, digits and signs of collationOrder; anything else after them, by code point
//	secondary  accents, blanks, hyphens
//	tertiary   small letters before capitals
type collationKey struct{ primary, secondary, tertiary []int32 }

// collationOrder lists what the JDK's rules order; the next after these is
// everything else.
const collationOrder = "_¯,;:!¡?¿/.´`^¨~·¸'\"«»()[]{}§¶©®@¤฿¢₡$₫€₣₤₥₦£₧₨₩₪¥*\\&#%+±÷×<=>¬|¦°µ0123456789¼½¾abcdðefghijklmnopqrstuvwxyz"

// accentOrder lists what only makes a secondary difference.
const accentOrder = " \u00a0\t\n\r\u0301\u0300\u0306\u0302\u030c\u030a\u030d\u0308\u030b\u0303\u0307\u0304\u0337\u0327\u0328\u0323-\u00ad"

var (
	primaryOf   = positions(collationOrder)
	secondaryOf = positions(accentOrder)
	expansions  = map[rune]string{'æ': "ae", 'Æ': "AE", 'ß': "ss", 'þ': "th", 'Þ': "TH"}
)

func positions(s string) map[rune]int32 {
	m := map[rune]int32{}
	for _, r := range s {
		m[r] = int32(len(m) + 1)
	}
	return m
}

// beyond is the primary weight from which code points order what has no other.
const beyond = 1 << 16

func newCollationKey(s string) collationKey {
	var k collationKey
	add := func(r rune, expanded int32) {
		small, big := r, int32(0)
		if r >= 'A' && r <= 'Z' || r == 'Ð' {
			small, big = []rune(strings.ToLower(string(r)))[0], 1
		}
		if p, ok := primaryOf[small]; ok {
			k.primary = append(k.primary, p)
			k.secondary = append(k.secondary, 0)
			k.tertiary = append(k.tertiary, big+expanded)
			return
		}
		if w, ok := secondaryOf[r]; ok {
			k.secondary = append(k.secondary, w)
			return
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return
		}
		k.primary = append(k.primary, beyond+r)
		k.secondary = append(k.secondary, 0)
		k.tertiary = append(k.tertiary, 0)
	}
	for _, r := range s {
		if to, ok := expansions[r]; ok {
			for _, e := range to {
				add(e, 2)
			}
			continue
		}
		if _, ok := primaryOf[r]; ok || r < 0x80 {
			add(r, 0)
			continue
		}
		for _, d := range norm.NFD.String(string(r)) {
			add(d, 0)
		}
	}
	return k
}

func (k collationKey) compare(o collationKey) int {
	if c := slices.Compare(k.primary, o.primary); c != 0 {
		return c
	}
	if c := slices.Compare(k.secondary, o.secondary); c != 0 {
		return c
	}
	return slices.Compare(k.tertiary, o.tertiary)
}
