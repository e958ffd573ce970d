package transport

import (
	"cmp"
	"math/big"
	"strings"
)

// VersionAtLeast reports whether remoting version have is min or newer, in the
// order of Jenkins' VersionNumber: dots separate parts, a hyphen before a digit
// opens a sub-list, numbers beat lists beat words, and among words alpha < beta
// < milestone < rc < (nothing) < sp < anything else. "3107.v665000b_51092" is
// thus older than "3107.3", and "3107" is older than "3107.v665000b_51092".
func VersionAtLeast(have, min string) bool {
	return compareVersions(have, min) >= 0
}

// versionMismatch is the refusal for an agent that is too old, nil when it is
// new enough or one of the versions is unknown.
func versionMismatch(have, minimum string) error {
	if have == "" || minimum == "" || VersionAtLeast(have, minimum) {
		return nil
	}
	return &RefusedError{
		Reason:    "the controller wants remoting version " + clip(minimum, 80) + " or newer, this agent reports " + have,
		Advice:    "update the agent",
		Permanent: true,
	}
}

type itemKind int

const (
	itemWord itemKind = iota // a qualifier such as "rc" or "v17a"
	itemList                 // what follows a hyphen
	itemNumber
	itemAny // "*"
)

type versionItem struct {
	kind itemKind
	num  *big.Int
	word string
	list []versionItem
}

const maxVersion = 256 // characters; the longest real ones have 40

func compareVersions(a, b string) int {
	return compareLists(parseVersion(a), parseVersion(b))
}

// parseVersion splits a version into items. Trailing items that mean nothing
// (0, empty words) are dropped, so that 1.0 equals 1.
func parseVersion(s string) []versionItem {
	if len(s) > maxVersion {
		s = s[:maxVersion]
	}
	s = strings.ToLower(strings.TrimSpace(s))
	p := versionParser{}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			p.endPart()
		case c == '-':
			digits := p.digits
			p.endPart()
			if digits {
				p.cur = trimItems(p.cur)
				if i+1 < len(s) && isDigit(s[i+1]) {
					p.open = append(p.open, p.cur)
					p.cur = nil
				}
			}
		case c == '*':
			p.cur = append(p.cur, versionItem{kind: itemAny})
			p.part = ""
		default:
			if d := isDigit(c); d != p.digits && p.part != "" {
				p.flush(d)
			}
			p.part += string(c)
			p.digits = isDigit(c)
		}
	}
	if p.part != "" {
		p.flush(false)
	}
	list := trimItems(p.cur)
	for i := len(p.open) - 1; i >= 0; i-- {
		list = trimItems(append(p.open[i], versionItem{kind: itemList, list: list}))
	}
	return list
}

type versionParser struct {
	open   [][]versionItem // enclosing lists
	cur    []versionItem
	part   string // characters of the item being read
	digits bool   // part is a number
}

// endPart closes the item before a dot or hyphen; none at all counts as 0.
func (p *versionParser) endPart() {
	if p.part != "" {
		p.flush(false)
		return
	}
	p.cur = append(p.cur, versionItem{kind: itemNumber, num: new(big.Int)})
}

func (p *versionParser) flush(digitFollows bool) {
	if p.digits {
		n, _ := new(big.Int).SetString(p.part, 10)
		p.cur = append(p.cur, versionItem{kind: itemNumber, num: n})
	} else {
		p.cur = append(p.cur, versionItem{kind: itemWord, word: qualifier(p.part, digitFollows)})
	}
	p.part = ""
}

// qualifier resolves the aliases of a word; a1, b1 and m1 are short for alpha,
// beta and milestone.
func qualifier(w string, digitFollows bool) string {
	if digitFollows {
		switch w {
		case "a":
			return "alpha"
		case "b":
			return "beta"
		case "m":
			return "milestone"
		}
	}
	switch w {
	case "ga", "final":
		return ""
	case "cr", "ea":
		return "rc"
	}
	return w
}

// rank gives known words their place; unknown ones come behind all of them, in
// alphabetical order.
func rank(w string) string {
	known := []string{"snapshot", "alpha", "beta", "milestone", "rc", "", "sp"}
	for i, k := range known {
		if k == w {
			return string(rune('0' + i))
		}
	}
	return "7-" + w
}

const releaseRank = "5"

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func trimItems(items []versionItem) []versionItem {
	for len(items) > 0 {
		last := items[len(items)-1]
		empty := last.kind == itemNumber && last.num.Sign() == 0 ||
			last.kind == itemWord && rank(last.word) == releaseRank ||
			last.kind == itemList && len(last.list) == 0
		if !empty {
			break
		}
		items = items[:len(items)-1]
	}
	return items
}

func compareLists(a, b []versionItem) int {
	for i := 0; i < max(len(a), len(b)); i++ {
		var c int
		switch {
		case i >= len(a):
			c = -compareToNothing(b[i])
		case i >= len(b):
			c = compareToNothing(a[i])
		default:
			c = compareItems(a[i], b[i])
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func compareToNothing(a versionItem) int {
	switch a.kind {
	case itemNumber:
		return a.num.Sign()
	case itemWord:
		return cmp.Compare(rank(a.word), releaseRank)
	case itemList:
		if len(a.list) == 0 {
			return 0
		}
		return compareToNothing(a.list[0])
	default:
		return -1
	}
}

func compareItems(a, b versionItem) int {
	switch {
	case a.kind == itemAny || b.kind == itemAny:
		if a.kind == b.kind || a.kind == itemNumber || b.kind == itemNumber {
			return 0
		}
		return cmp.Compare(a.kind, b.kind)
	case a.kind != b.kind:
		return cmp.Compare(a.kind, b.kind)
	case a.kind == itemNumber:
		return a.num.Cmp(b.num)
	case a.kind == itemWord:
		return cmp.Compare(rank(a.word), rank(b.word))
	default:
		return compareLists(a.list, b.list)
	}
}
