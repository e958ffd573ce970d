package archive

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// small keeps a fuzzer from filling the disk.
var small = Limits{Entries: 200, Bytes: 1 << 20, Directory: 1 << 20}

// fuzzTarget is a directory with a victim beside it and a link to that inside.
func fuzzTarget(t *testing.T) (dir string, check func()) {
	top := t.TempDir()
	dir = filepath.Join(top, "target")
	victim := filepath.Join(top, "victim")
	if os.Mkdir(dir, 0o755) != nil || os.WriteFile(victim, []byte("intact"), 0o644) != nil || os.Symlink("..", filepath.Join(dir, "up")) != nil {
		t.Fatal("no target")
	}
	return dir, func() {
		data, _ := os.ReadFile(victim)
		entries, _ := os.ReadDir(top)
		if string(data) != "intact" || len(entries) != 2 {
			t.Fatalf("written outside of the target: %q %v", data, entries)
		}
	}
}

func FuzzReadTar(f *testing.F) {
	f.Add(gunzipped(f, "testdata/ant.tar.gz"), false)
	f.Add(gunzipped(f, "testdata/commons.tar.gz"), false)
	f.Add(makeTar(f, link("l", ".."), hard("h", "l"), file("../victim", "x"), file("l/victim", "y")), false)
	f.Add(gzipped(f, makeTar(f, file("up/victim", "x"), file("a", "b"))), true)
	f.Fuzz(func(t *testing.T, data []byte, gz bool) {
		dir, check := fuzzTarget(t)
		_, _ = ReadTar(context.Background(), bytes.NewReader(data), dir, ReadOptions{Name: "n", Gzip: gz, Limits: small})
		check()
	})
}

func FuzzReadZip(f *testing.F) {
	for _, name := range []string{"testdata/ant.zip", "testdata/commons.zip"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(makeZip(f, "up/victim", "../victim", "/victim", "a/"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, check := fuzzTarget(t)
		_, _ = ReadZip(context.Background(), bytes.NewReader(data), dir, ReadOptions{Limits: small})
		check()
	})
}
