package archive

import (
	"encoding/binary"
	"unicode/utf8"
)

const (
	recordSize = 512
	blockSize  = 20 * recordSize // org.apache.tools.tar.TarBuffer.DEFAULT_BLKSIZE
	nameLen    = 100
	longLink   = "././@LongLink"

	flagFile     = '0'
	flagSymlink  = '2'
	flagDir      = '5'
	flagLongLink = 'K'
	flagLongName = 'L'

	defaultFileMode = 0o100644 // TarEntry.DEFAULT_FILE_MODE, of long names and of broken links
)

// tarHeader is one record as org.apache.tools.tar.TarEntry writes it. Owner, group and device numbers are always 0 or empty.
//
//	0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 type
//	157 linkname 100 | 257 magic 6 | 263 version 2 | 265 uname 32 | 297 gname 32 | 329 major 8 | 337 minor 8 | 345 zeros
type tarHeader struct {
	name  string
	mode  int64
	size  int64 // bytes
	mtime int64 // seconds
	flag  byte
	link  string
}

func (h *tarHeader) put(rec *[recordSize]byte) {
	clear(rec[:])
	copy(rec[0:100], shortName(h.name))
	putNumber(rec[100:108], h.mode)
	putNumber(rec[108:116], 0)
	putNumber(rec[116:124], 0)
	putNumber(rec[124:136], h.size)
	putNumber(rec[136:148], h.mtime)
	copy(rec[148:156], "        ")
	rec[156] = h.flag
	copy(rec[157:257], shortName(h.link))
	if h.flag == flagLongName {
		copy(rec[257:265], "ustar  \x00")
	} else {
		copy(rec[257:265], "ustar\x0000")
	}
	putNumber(rec[329:337], 0)
	putNumber(rec[337:345], 0)
	var sum int64
	for _, b := range rec {
		sum += int64(b)
	}
	putOctal(rec[148:154], sum)
	rec[154], rec[155] = 0, ' '
}

// putNumber writes octal digits and a space, or base 256 if the number does not fit (BIGNUMBER_STAR).
func putNumber(field []byte, v int64) {
	digits := len(field) - 1
	if v >= 0 && v < 1<<(3*digits) {
		putOctal(field[:digits], v)
		field[digits] = ' '
		return
	}
	fill, mark := byte(0), byte(0x80)
	if v < 0 {
		fill, mark = 0xFF, 0xFF
	}
	for i := range field {
		field[i] = fill
	}
	if n := len(field); n > 8 {
		binary.BigEndian.PutUint64(field[n-8:], uint64(v))
	} else {
		for i := n - 1; i > 0; i-- {
			field[i] = byte(v)
			v >>= 8
		}
	}
	field[0] = mark
}

func putOctal(field []byte, v int64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = '0' + byte(v&7)
		v >>= 3
	}
}

// shortName cuts a name to what the header holds, between characters. Ant cuts UTF-16 units: half a surrogate pair is
// written as a question mark. (Readers use the long name anyway.)
func shortName(name string) string {
	for len(name) > nameLen {
		r, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
		if r > 0xFFFF && len(name)+1 <= nameLen {
			return name + "?"
		}
	}
	return name
}
