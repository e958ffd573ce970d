package ant

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// The answers of FilePath.validateAntFileMask (hudson/Messages.properties): what users read under the field of a mask
// and in the log of a build that found no artifacts.
const (
	textTilde       = "‘~’ is only supported in a Unix shell and nowhere else."
	textCase        = "‘%s’ doesn’t match anything because it is treated case sensitively. You can deactivate case sensitivity to get matches"
	textBlanks      = "Whitespace can no longer be used as the separator. Please Use ‘,’ as the separator instead."
	textSuggest     = "‘%s’ doesn’t match anything, but ‘%s’ does. Perhaps that’s what you mean?"
	textPortion     = "‘%s’ doesn’t match anything, although ‘%s’ exists"
	textPortionStop = "‘%s’ doesn’t match anything: ‘%s’ exists but not ‘%s’"
	textNothing     = "‘%s’ doesn’t match anything"
	textNothingEven = "‘%s’ doesn’t match anything: even ‘%s’ doesn’t exist"
)

// validateTime is how long one search of ValidateMask may take, if it is bounded at all.
const validateTime = 5 * time.Second

// BoundError says that ValidateMask gave up: hudson.FilePath$FileMaskNoMatchesFoundException in Java.
type BoundError struct{ Bound int }

func (e *BoundError) Error() string { return fmt.Sprintf("no matches found within %d", e.Bound) }

// ValidateMask explains why a list of masks matches nothing below dir, as FilePath.validateAntFileMask does
// (hudson.FilePath$ValidateAntFileMask). An empty message (null in Java) means that every mask of the list matches a
// file or a directory. Default excludes do not apply.
//
// bound limits the steps of a search without matches, counted as Java counts them; math.MaxInt32 is no limit. Errors:
// *BoundError; *BuildError (IllegalStateException in Java) if dir is missing or no directory; the context's.
func ValidateMask(ctx context.Context, dir, masks string, bound int, caseSensitive bool) (message string, err error) {
	if strings.HasPrefix(masks, "~") {
		return textTilde, nil
	}
	v := validator{ctx: ctx, dir: dir, bound: bound, caseSensitive: caseSensitive}
	for mask := range strings.SplitSeq(masks, ",") {
		if mask == "" {
			continue
		}
		if message, err := v.mask(trimJava(mask)); err != nil || message != "" {
			return message, err
		}
	}
	return "", nil
}

type validator struct {
	ctx           context.Context
	dir           string
	bound         int
	caseSensitive bool
}

func (v *validator) mask(mask string) (string, error) {
	for _, try := range []func(string) (string, error){v.asItIs, v.otherCase, v.splitAtBlanks, v.shortened, v.prefixed} {
		message, err := try(mask)
		if err != nil || message == matches {
			return "", err
		}
		if message != "" {
			return message, nil
		}
	}
	return v.portion(mask)
}

// matches is the answer of a step that found nothing to complain about.
const matches = "\x00"

func (v *validator) asItIs(mask string) (string, error) {
	if ok, err := v.hasMatch(mask, v.caseSensitive); err != nil || ok {
		return matches, err
	}
	return "", nil
}

func (v *validator) otherCase(mask string) (string, error) {
	if !v.caseSensitive {
		return "", nil
	}
	if ok, err := v.hasMatch(mask, false); err != nil || ok {
		return fmt.Sprintf(textCase, mask), err
	}
	return "", nil
}

func (v *validator) splitAtBlanks(mask string) (string, error) {
	if !strings.Contains(mask, " ") {
		return "", nil
	}
	all := true
	for _, piece := range splitQuoted(mask) {
		ok, err := v.hasMatch(piece, v.caseSensitive)
		if err != nil {
			return "", err
		}
		all = all && ok
	}
	if all {
		return textBlanks, nil
	}
	return "", nil
}

// shortened drops leading elements: the mask was meant from a directory above.
func (v *validator) shortened(mask string) (string, error) {
	for rest := mask; ; {
		i := strings.IndexAny(rest, `\/`)
		if i < 0 {
			return "", nil
		}
		rest = rest[i+1:]
		if ok, err := v.hasMatch(rest, v.caseSensitive); err != nil || ok {
			return fmt.Sprintf(textSuggest, mask, rest), err
		}
	}
}

// prefixed looks for the mask deeper in the tree: it was meant from a directory below.
func (v *validator) prefixed(mask string) (string, error) {
	s := New("**/"+mask, "")
	s.CaseSensitive = v.caseSensitive
	names, err := s.ScanContext(v.ctx, v.dir)
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(names, func(a, b string) int { return lenJava(a) - lenJava(b) })
	for _, name := range names {
		prefix := ""
		for {
			i := strings.IndexAny(name, `\/`)
			if i < 0 {
				break
			}
			prefix += name[:i] + "/"
			name = name[i+1:]
			if ok, err := v.hasMatch(prefix+mask, v.caseSensitive); err != nil || ok {
				return fmt.Sprintf(textSuggest, mask, prefix+mask), err
			}
		}
	}
	return "", nil
}

// portion says how much of the mask exists. As in Java the mask is cut at its first separator, so that only its first
// element is ever tried.
func (v *validator) portion(mask string) (string, error) {
	previous := ""
	for rest := mask; ; {
		ok, err := v.hasMatch(rest, v.caseSensitive)
		if err != nil {
			return "", err
		}
		if ok && previous == "" {
			return fmt.Sprintf(textPortion, mask, rest), nil
		}
		if ok {
			return fmt.Sprintf(textPortionStop, mask, rest, previous), nil
		}
		i := strings.IndexAny(rest, `\/`)
		if i < 0 && rest == mask {
			return fmt.Sprintf(textNothing, mask), nil
		}
		if i < 0 {
			return fmt.Sprintf(textNothingEven, mask, rest), nil
		}
		previous, rest = rest, rest[:i]
	}
}

// hasMatch searches for one pattern, directories counting too.
func (v *validator) hasMatch(pat string, caseSensitive bool) (bool, error) {
	abs, err := filepath.Abs(v.dir)
	if err != nil {
		return false, fmt.Errorf("ant: %w", err)
	}
	if err := checkBase(abs, "basedir "+v.dir); err != nil {
		return false, err
	}
	ctx, stop := context.WithCancel(v.ctx)
	defer stop()
	w := newWalk(ctx, abs, newPatterns([]string{pat}, nil, caseSensitive, true))
	w.unsorted = true
	found, exceeded := false, false
	see := func() {
		if !exceeded {
			found = true
		}
		stop()
	}
	w.onFile = func(string, fs.DirEntry) error { see(); return context.Canceled }
	w.onDir = func(string) { see() }
	if v.bound != math.MaxInt32 {
		ticks, start := 0, time.Now()
		w.tick = func() {
			if found || exceeded {
				return
			}
			if ticks > v.bound || ticks%256 == 255 && time.Since(start) > validateTime {
				exceeded = true
				stop()
			}
			ticks++
		}
	}
	err = w.run()
	switch {
	case v.ctx.Err() != nil:
		return false, v.ctx.Err()
	case found:
		return true, nil
	case exceeded:
		return false, &BoundError{v.bound}
	}
	return false, err
}

// lenJava is the length of a string in UTF-16 units.
func lenJava(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// splitQuoted cuts at blanks outside quotes, as hudson.Util.tokenize: quotes of both kinds are dropped, a backslash
// takes the next character as it is.
func splitQuoted(s string) []string {
	var pieces []string
	var piece strings.Builder
	var quote rune
	escaped, inPiece := false, false
	for _, r := range s {
		switch {
		case escaped:
			escaped = false
			piece.WriteRune(r)
		case r == '\\':
			escaped, inPiece = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			piece.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inPiece = r, true
		case strings.ContainsRune(" \t\n\r\f", r):
			if inPiece {
				pieces = append(pieces, piece.String())
				piece.Reset()
				inPiece = false
			}
		default:
			piece.WriteRune(r)
			inPiece = true
		}
	}
	if inPiece {
		pieces = append(pieces, piece.String())
	}
	return pieces
}
