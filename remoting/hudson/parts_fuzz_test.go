package hudson

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// FuzzCallableParts gives any object to what reads scanners, factories, filters,
// options and URLs out of callables: it may refuse, but not panic.
func FuzzCallableParts(f *testing.F) {
	both := openOptionArray("NOFOLLOW_LINKS", "IGNORE_TMP_DIRS")
	files := jser.HashMap(jser.Entry{Key: "a", Value: "b"})
	for _, o := range []*jser.Object{
		fields("hudson.FilePath$Archive", "factory", tarFactory("GZIP"), "openOptions", both, "out", nil, "scanner", globScanner("**", "x"), "verificationRoot", "/w"),
		fields("hudson.FilePath$Archive", "factory", fields("hudson.util.io.ArchiverFactory$ZipArchiverFactory", "openOptions", both, "prefix", "p"),
			"openOptions", nil, "scanner", fields("hudson.util.DirScanner$Filter", "filter", fields("hudson.FilePath$DirectoryFilter"))),
		fields("hudson.FilePath$CopyRecursiveRemoteToLocal", "compression", compression("NONE"), "filenamesEncoding", "UTF-8", "pipe", nil,
			"scanner", fields("hudson.FilePath$ExplicitlySpecifiedDirScanner", "files", files)),
		fields("hudson.FilePath$Unpack", "archive", urlNode("http://h:80/x.zip?a=b")),
		fields("hudson.FilePath$ListFilter", "filter", fields("hudson.FilePath$OptionalDiscardingFileFilter", "openOptions", both, "verificationRoot", "/w")),
		fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "cur", fields("jenkins.util.VirtualFile$FilePathVF", "f", remotePath("/w"), "root", nil), "openOptions", both),
	} {
		b, err := jser.Encode(o)
		require.NoError(f, err)
		f.Add(b)
	}
	a := &Agent{}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := jser.Decode(b, remoting.DecodeOptions())
		o, _ := v.(*jser.Object)
		if err != nil || o == nil {
			return
		}
		c := &callable.Call{Call: &remoting.Call{}, Object: o, Path: "/footman-nothing-here"}
		for _, accepts := range []func(*callable.Call) error{knownArchive, knownTar, knownScanner, knownCompression, knownOpenOptions, knownFilter, knownFolder,
			fetchable("archive"), fetchable("u")} {
			_ = accepts(c)
		}
		_, _ = a.readOptions(c)
		_ = archiveFile(c, "filePath")
		artifactScanner(o, "includes")
		if u, ok := javaURL(o.Get("archive")); ok {
			_ = shownURL(u, false)
		}
		if knownFolder(c) == nil {
			_, _ = childPaths(t.Context(), c)
		}
	})
}
