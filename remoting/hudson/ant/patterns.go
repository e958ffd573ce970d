package ant

// patterns is a compiled set of includes and excludes. It is not changed after newPatterns.
type patterns struct {
	includes, excludes set
	caseSensitive      bool
	followLinks        bool
}

// set is one list: patterns with wildcards, and plain names, which must be equal to the whole path.
type set struct {
	wild  []pattern
	plain []pattern
	names map[string]bool // plain texts, in capitals if case does not matter
}

func newPatterns(includes, excludes []string, caseSensitive, followLinks bool) *patterns {
	return &patterns{
		includes:      newSet(includes, caseSensitive),
		excludes:      newSet(excludes, caseSensitive),
		caseSensitive: caseSensitive,
		followLinks:   followLinks,
	}
}

func newSet(texts []string, caseSensitive bool) set {
	s := set{names: map[string]bool{}}
	for _, text := range texts {
		p := compile(normalize(text))
		if p.wild {
			s.wild = append(s.wild, p)
			continue
		}
		if !caseSensitive {
			p = compile(upperJava(p.text))
		}
		s.plain = append(s.plain, p)
		s.names[p.text] = true
	}
	return s
}

// has reports whether the path, given whole and in pieces, is in the set.
func (s *set) has(rel string, pieces []string, caseSensitive bool, tick func()) bool {
	tick()
	if len(s.names) > 0 {
		key := rel
		if !caseSensitive {
			key = upperJava(rel)
		}
		if s.names[key] {
			return true
		}
	}
	for i := range s.wild {
		tick()
		if s.wild[i].matchPath(pieces, caseSensitive) {
			return true
		}
	}
	return false
}

// leadsTo reports whether something below the directory could be included (DirectoryScanner.couldHoldIncluded) and not
// all of it is excluded (contentsExcluded): else there is no need to read the directory.
func (p *patterns) leadsTo(pieces []string, tick func()) bool {
	return p.couldHoldIncluded(pieces, tick) && !p.contentsExcluded(pieces)
}

func (p *patterns) couldHoldIncluded(pieces []string, tick func()) bool {
	for _, list := range [2][]pattern{p.includes.wild, p.includes.plain} {
		for i := range list {
			tick()
			if list[i].matchStart(pieces, p.caseSensitive) && (list[i].hasDeep || len(list[i].elements) > len(pieces)) {
				return true
			}
		}
	}
	return false
}

func (p *patterns) contentsExcluded(pieces []string) bool {
	for i := range p.excludes.wild {
		ex := p.excludes.wild[i]
		n := len(ex.elements)
		if n == 0 || !ex.elements[n-1].deep {
			continue
		}
		ex.elements = ex.elements[:n-1]
		if ex.matchPath(pieces, p.caseSensitive) {
			return true
		}
	}
	return false
}
