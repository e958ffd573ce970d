package wire

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What agent.jar and a controller send (recorded, remoting 3352).
const recorded = "rO0ABXNyABpodWRzb24ucmVtb3RpbmcuQ2FwYWJpbGl0eQAAAAAAAAABAgABSgAEbWFza3hwAAAAAAAAAf4="

func TestCapabilityEncode(t *testing.T) {
	require.Equal(t, Capability(0x1FE), CapDefault)
	require.Equal(t, recorded, CapDefault.Base64())
	require.Len(t, CapDefault.Encode(), CapabilitySize)
}

func TestParseCapability(t *testing.T) {
	desc := func(suid, fields string) string {
		return "aced00057372001a" + hex.EncodeToString([]byte(capabilityClass)) + suid + "02" + fields
	}
	one := "0000000000000001"
	tests := []struct {
		name, hex string
		want      Capability
		err       string
	}{
		{"recorded", hex.EncodeToString(CapDefault.Encode()), CapDefault, ""},
		{"none", hex.EncodeToString(CapNone.Encode()), CapNone, ""},
		{"unknown bits are kept", hex.EncodeToString(Capability(0xF000000000000002).Encode()), 0xF000000000000002, ""},
		{"bytes behind it", hex.EncodeToString(CapDefault.Encode()) + "00000000", CapDefault, ""},
		{"another serialVersionUID", desc("00000000000000ff", "00014a00046d61736b7870"+"0000000000000002"), 2, ""},
		{"an int field before it", desc(one, "0002"+"49000161"+"4a00046d61736b7870"+"00000007"+"0000000000000080"), 0x80, ""},
		{"a string field behind it", desc(one, "0002"+"4a00046d61736b"+"4c00017874000353747278"+"70"+"0000000000000006"+"740002abcd"), 6, ""},
		{"a null field behind it", desc(one, "0002"+"4a00046d61736b"+"4c00017874000353747278"+"70"+"0000000000000006"+"70"), 6, ""},
		{"empty", "", 0, "incomplete"},
		{"not a stream", "cafebabe", 0, "stream header"},
		{"another class", strings.Replace(hex.EncodeToString(CapDefault.Encode()), hex.EncodeToString([]byte("Capa")), hex.EncodeToString([]byte("Papa")), 1), 0, "instead of"},
		{"no mask", desc(one, "0000"+"7870"), 0, "no field long mask"},
		{"many fields", desc(one, "ffff"), 0, "65535 fields"},
		{"an object inside", desc(one, "0002"+"4a00046d61736b"+"4c00017874000353747278"+"70"+"0000000000000006"+"73"), 0, "type code"},
		{"with a superclass", desc(one, "00014a00046d61736b7872"), 0, "end of the class descriptor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := hex.DecodeString(tt.hex)
			require.NoError(t, err)
			got, err := ParseCapability(base64.StdEncoding.EncodeToString(raw))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	_, err := ParseCapability("!!!")
	require.ErrorContains(t, err, "not base64")
	_, err = ParseCapability(strings.Repeat("A", 1<<20))
	require.ErrorContains(t, err, "too long")
}

func TestCapabilityTruncated(t *testing.T) {
	raw := CapDefault.Encode()
	for n := range raw {
		_, _, err := DecodeCapability(raw[:n])
		require.ErrorIs(t, err, ErrIncomplete, "%d bytes", n)
	}
	_, size, err := DecodeCapability(append(raw, 1, 2, 3))
	require.NoError(t, err)
	require.Equal(t, CapabilitySize, size)
}

func TestCapabilityString(t *testing.T) {
	require.Equal(t, "[pipe-throttling chunked 0x400]", (CapPipeThrottling | CapChunkedEncoding | 0x400).String())
}

func FuzzCapability(f *testing.F) {
	f.Add(CapDefault.Encode())
	f.Add(CapNone.Encode()[:40])
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, size, err := DecodeCapability(raw)
		if err == nil {
			require.LessOrEqual(t, size, len(raw))
			back, _, err := DecodeCapability(c.Encode())
			require.NoError(t, err)
			require.Equal(t, c, back)
		}
		_, _ = ParseCapability(string(raw))
	})
}
