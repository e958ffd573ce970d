package jvm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJavaOptions(t *testing.T) {
	ours := []string{"-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"}
	for _, tc := range []struct {
		name  string
		user  []string
		limit uint64
		want  []string
	}{
		{"no limit", nil, 0, []string{"-XX:+UseSerialGC"}},
		{"half of the container", nil, 512 << 20, []string{"-XX:+UseSerialGC", "-Xmx256m"}},
		{"never less than 64 MiB", nil, 100 << 20, []string{"-XX:+UseSerialGC", "-Xmx64m"}},
		{"never more than 1 GiB", nil, 64 << 30, []string{"-XX:+UseSerialGC", "-Xmx1024m"}},
		{"own heap", []string{"-XX:MaxRAMPercentage=70"}, 512 << 20, []string{"-XX:+UseSerialGC", "-XX:MaxRAMPercentage=70"}},
		{"own collector", []string{"-XX:+UseG1GC", "-Da=b"}, 512 << 20, []string{"-Xmx256m", "-XX:+UseG1GC", "-Da=b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, append(append([]string{}, ours...), tc.want...), javaOptions(tc.user, tc.limit))
		})
	}
}
