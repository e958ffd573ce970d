package classfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vector is a class file and what java.io.ObjectStreamClass says of it.
type vector struct {
	name, suid, super string
	file              []byte
}

func vectors(t testing.TB, r io.Reader) []vector {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 8<<20)
	var out []vector
	for s.Scan() {
		f := strings.Split(s.Text(), "\t")
		require.Len(t, f, 4)
		b, err := base64.StdEncoding.DecodeString(f[3])
		require.NoError(t, err)
		out = append(out, vector{f[0], f[1], f[2], b})
	}
	require.NoError(t, s.Err())
	return out
}

func golden(t testing.TB, name string) []vector {
	f, err := os.Open("testdata/" + name)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	return vectors(t, z)
}

func TestSUIDIsThatOfJava(t *testing.T) {
	for file, major := range map[string]uint16{"java17.txt.gz": 61, "java8.txt.gz": 52} {
		checked := 0
		for _, v := range golden(t, file) {
			c, err := Parse(v.file)
			require.NoError(t, err, v.name)
			require.Equal(t, v.name, c.Name)
			require.Equal(t, major, c.Major)
			if v.super == "-" {
				v.super = "java.lang.Object" // of an interface
			}
			require.Equal(t, v.super, c.Super)
			if v.suid == "-" {
				continue
			}
			got, ok := c.SUID()
			if v.name == "Shapes$Computed" {
				require.False(t, ok, "only its initializer knows")
				continue
			}
			require.True(t, ok)
			require.Equal(t, v.suid, strconv.FormatInt(got, 10), v.name)
			checked++
		}
		require.Greater(t, checked, 38)
	}
}

func TestInterfacesAreListed(t *testing.T) {
	for _, v := range golden(t, "java17.txt.gz") {
		if v.name == "Shapes$Implementing" {
			c, err := Parse(v.file)
			require.NoError(t, err)
			require.Equal(t, []string{"Shapes$WithDefault", "Shapes$PublicMarker", "Shapes$Marker", "java.lang.Cloneable"}, c.Interfaces)
			return
		}
	}
	t.Fatal("vector is missing")
}

// The serializable classes of the JDK that is here.
func TestDefaultSUIDOfTheJDK(t *testing.T) {
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("SKIPPED, NOTHING IS PROVEN: java is not installed, so the classes of the JDK can't be compared (install a JDK 17)")
	}
	cmd := exec.Command("java", "--add-opens", "java.base/java.io=ALL-UNNAMED", "../../test/javagen/classfile/JdkVersions.java")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	vs := vectors(t, bytes.NewReader(out))
	for _, v := range vs {
		c, err := Parse(v.file)
		require.NoError(t, err, v.name)
		if c.isEnum() || v.name == "java.lang.Class" { // reflection hides the fields of Class
			continue
		}
		require.Equal(t, v.suid, strconv.FormatInt(c.DefaultSUID(), 10), v.name)
	}
	require.Greater(t, len(vs), 500)
	t.Logf("%d classes", len(vs))
}

func requireOrderly(t *testing.T, b []byte, err error) {
	var syntax *SyntaxError
	require.True(t, errors.As(err, &syntax), "%v", err)
	require.True(t, syntax.Offset >= 0 && syntax.Offset <= len(b), "offset %d of %d", syntax.Offset, len(b))
	require.Less(t, len(err.Error()), 300)
}

func TestTruncationIsAnError(t *testing.T) {
	for _, v := range golden(t, "java17.txt.gz") {
		for n := range v.file {
			_, err := Parse(v.file[:n])
			requireOrderly(t, v.file[:n], err)
		}
		_, err := Parse(append(v.file, 0))
		requireOrderly(t, v.file, err)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	for _, b := range []string{"", "\xCA\xFE", "PK\x03\x04 a jar file", "\xCA\xFE\xBA\xBE\x00\x00\x00\x34\x00\x00"} {
		_, err := Parse([]byte(b))
		requireOrderly(t, []byte(b), err)
	}
}

// Many members that share one long name cost no more than the limit.
func TestLongNamesAreBounded(t *testing.T) {
	be := binary.BigEndian
	b := []byte{0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 52, 0, 3, tagUtf8, 0xFF, 0xFF}
	b = append(b, bytes.Repeat([]byte{'x'}, 65535)...)
	b = append(b, tagClass, 0, 1)
	b = append(b, 0, 0, 0, 2, 0, 0, 0, 0) // flags, this, super, interfaces
	b = be.AppendUint16(b, 65535)
	for range 65535 {
		b = append(b, 0, 0, 0, 1, 0, 1, 0, 0)
	}
	b = append(b, 0, 0, 0, 0)
	_, err := Parse(b)
	requireOrderly(t, b, err)
	require.ErrorContains(t, err, "16 MiB")
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"java17.txt.gz", "java8.txt.gz"} {
		for _, v := range golden(f, file) {
			f.Add(v.file)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			require.Nil(t, c)
			requireOrderly(t, b, err)
			return
		}
		first, ok := c.SUID()
		second, ok2 := c.SUID()
		require.Equal(t, first, second)
		require.Equal(t, ok, ok2)
		c.DefaultSUID()
	})
}
