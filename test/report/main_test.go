package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		code int
		want string
	}{
		"nothing": {"", 1, "FAIL: nothing was tested\n"},
		"passed": {`{"Action":"output","Package":"p","Test":"T","Output":"=== RUN T\n"}
{"Action":"pass","Package":"p","Test":"T","Elapsed":1}
{"Action":"pass","Package":"p","Elapsed":1.25}
`, 0, "ok  \tp\t1.2s\n1 packages passed, 0 tests skipped\n"},
		"skipped": {`{"Action":"output","Package":"p","Test":"T","Output":"=== RUN T\n"}
{"Action":"output","Package":"p","Test":"T","Output":"    x_test.go:1: JAVA IS MISSING\n"}
{"Action":"output","Package":"p","Test":"T","Output":"--- SKIP: T (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"T"}
{"Action":"skip","Package":"no/tests"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`, 0, "ok  \tp\t0.1s\nSKIP\tp\tT: x_test.go:1: JAVA IS MISSING\n1 packages passed, 1 tests skipped\n"},
		"failed": {`{"Action":"output","Package":"p","Test":"T","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p","Elapsed":2}
`, 1, "why\nFAIL\nFAIL\tp\t2.0s\nFAIL: p T, p\n"},
		"does not build": {`{"ImportPath":"p","Action":"build-output","Output":"x.go:1: syntax\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","Elapsed":0}
`, 1, "x.go:1: syntax\nFAIL\tp\t0.0s\nFAIL: p (build), p\n"},
		"strangers": {"go: downloading x\n{broken\n", 1, "go: downloading x\n{broken\nFAIL: nothing was tested\n"},
	} {
		var out bytes.Buffer
		r := &report{out: &out, text: map[[2]string]*strings.Builder{}}
		require.NoError(t, r.read(strings.NewReader(c.in)), name)
		require.Equal(t, c.code, r.end(), name)
		require.Equal(t, c.want, out.String(), name)
	}
}
