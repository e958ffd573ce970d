package ant

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// defaultExcludes are the patterns that Ant 1.10.15 excludes unless told otherwise (DirectoryScanner.DEFAULTEXCLUDES).
var defaultExcludes = []string{
	"**/*~", "**/#*#", "**/.#*", "**/%*%", "**/._*",
	"**/CVS", "**/CVS/**", "**/.cvsignore",
	"**/SCCS", "**/SCCS/**",
	"**/vssver.scc",
	"**/.svn", "**/.svn/**",
	"**/.git", "**/.git/**", "**/.gitattributes", "**/.gitignore", "**/.gitmodules",
	"**/.hg", "**/.hg/**", "**/.hgignore", "**/.hgsub", "**/.hgsubstate", "**/.hgtags",
	"**/.bzr", "**/.bzr/**", "**/.bzrignore",
	"**/.DS_Store",
}

// DefaultExcludes returns the patterns that Scanner.DefaultExcludes adds.
func DefaultExcludes() []string { return slices.Clone(defaultExcludes) }

// Scanner finds the files below a directory that fit Includes and not Excludes, like the FileSet of
// hudson.Util.createFileSet. Both are lists split at commas; blanks around a pattern are dropped, blanks inside belong to it.
//
// Empty Includes (no pattern at all, not even a blank one) mean everything. The zero value ignores case and does not
// follow links; New has the defaults of Jenkins.
type Scanner struct {
	Includes, Excludes string
	DefaultExcludes    bool // leave out CVS, .git, *~ and the like, see DefaultExcludes()
	CaseSensitive      bool
	FollowSymlinks     bool // list what is behind links; false leaves links out altogether
}

// New returns a scanner with the defaults of a FileSet: default excludes, case sensitive, following links.
func New(includes, excludes string) Scanner {
	return Scanner{Includes: includes, Excludes: excludes, DefaultExcludes: true, CaseSensitive: true, FollowSymlinks: true}
}

// BuildError is what Java reports as org.apache.tools.ant.BuildException (FilePath.list turns it into an IOException
// with the same text).
type BuildError struct{ Text string }

func (e *BuildError) Error() string { return e.Text }

// Scan returns the matching files below dir, relative, with '/', in Ant's order (compareTo of Java strings).
//
// Errors: *BuildError if dir is missing, is no directory, or cannot be read.
func (s Scanner) Scan(dir string) ([]string, error) { return s.ScanContext(context.Background(), dir) }

// ScanContext is Scan that ends early, with the context's error, when ctx is done.
func (s Scanner) ScanContext(ctx context.Context, dir string) ([]string, error) {
	var names []string
	err := s.Walk(ctx, dir, func(rel string, _ fs.DirEntry) error {
		names = append(names, rel)
		return nil
	})
	return names, err
}

// Walk calls fn for each matching file, in the order of Scan, holding no more than the listings of the directories on
// the way. The entry tells the type as found in the directory (a link is a link), without a further system call.
//
// An error of fn ends the walk and is returned as it is. A directory that a pattern names before its first wildcard and
// that cannot be read is a *BuildError; one met on the way counts as a file, as in Java.
func (s Scanner) Walk(ctx context.Context, dir string, fn func(rel string, entry fs.DirEntry) error) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("ant: %w", err)
	}
	if err := checkBase(abs, abs); err != nil {
		return err
	}
	w := newWalk(ctx, abs, s.patterns())
	w.onFile = fn
	return w.run()
}

// checkBase refuses a base directory that is none; shown is its name in the message.
func checkBase(abs, shown string) error {
	switch info, err := os.Stat(abs); {
	case err != nil:
		return &BuildError{shown + " does not exist."}
	case !info.IsDir():
		return &BuildError{shown + " is not a directory."}
	}
	return nil
}

// patterns turns the settings into compiled patterns.
func (s Scanner) patterns() *patterns {
	includes := splitList(s.Includes)
	if includes == nil {
		includes = []string{deepMatch}
	}
	excludes := splitList(s.Excludes)
	if s.DefaultExcludes {
		excludes = append(excludes, defaultExcludes...)
	}
	return newPatterns(includes, excludes, s.CaseSensitive, s.FollowSymlinks)
}

// splitList cuts a list at its commas and trims the pieces (java.lang.String.trim). It returns nil for a list without
// any piece, and an empty slice for one whose pieces are all blank: the first means "no list", the second "nothing".
func splitList(list string) []string {
	var pieces []string
	for piece := range strings.SplitSeq(list, ",") {
		if piece == "" {
			continue
		}
		if pieces == nil {
			pieces = []string{}
		}
		if piece = trimJava(piece); piece != "" {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}

// trimJava is String.trim: everything up to U+0020 goes, at both ends.
func trimJava(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

var (
	driveStart = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
	uncStart   = `\\`
)

// List is FilePath.list(includes, excludes, defaultExcludes) (hudson.FilePath$ListGlob): Scan, case sensitive and
// following links, that refuses an absolute pattern with Jenkins' text. All its errors are IOExceptions in Java.
func List(ctx context.Context, dir, includes, excludes string, defaultExcludes bool) ([]string, error) {
	if strings.HasPrefix(includes, "/") || strings.HasPrefix(includes, uncStart) || driveStart.MatchString(includes) {
		return nil, fmt.Errorf("Expecting Ant GLOB pattern, but saw '%s'. See https://ant.apache.org/manual/Types/fileset.html for syntax", includes) //nolint:staticcheck // Jenkins' text
	}
	s := New(includes, excludes)
	s.DefaultExcludes = defaultExcludes
	return s.ScanContext(ctx, dir)
}
