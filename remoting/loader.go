package remoting

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// Class-loader tags that follow each class descriptor of a user payload when
// both ends announce MULTI_CLASSLOADER
// (hudson.remoting.MultiClassLoaderSerializer).
const (
	tagSystem = -3 // boot class path: JDK classes
	tagExport = -2 // + oid: a loader that the writer exports
	tagLocal  = -1 // + oid: a loader that the reader exported
	// n ≥ 0: the n-th loader that this stream introduced
)

// loaderReader resolves the tags of one stream into oids of the controller's
// loaders, kept in ClassDesc.Mark: 0 for JDK classes, negative for a loader of
// our own side.
type loaderReader struct{ seen []int32 }

func (l *loaderReader) classDesc(d *jser.ClassDesc) error {
	if len(d.Annotation) == 0 {
		return nil // the peer does not tag
	}
	b, ok := d.Annotation[0].(jser.Block)
	if !ok || len(d.Annotation) != 1 || (len(b) != 4 && len(b) != 8) {
		return fmt.Errorf("remoting: class %s has an unknown class-loader annotation", d)
	}
	tag := int32(binary.BigEndian.Uint32(b))
	switch {
	case tag == tagSystem && len(b) == 4:
	case tag == tagExport && len(b) == 8:
		d.Mark = int32(binary.BigEndian.Uint32(b[4:]))
		l.seen = append(l.seen, d.Mark)
	case tag == tagLocal && len(b) == 8:
		d.Mark = -int32(binary.BigEndian.Uint32(b[4:]))
		l.seen = append(l.seen, d.Mark)
	case tag >= 0 && int(tag) < len(l.seen) && len(b) == 4:
		d.Mark = l.seen[tag]
	default:
		return fmt.Errorf("remoting: class %s has the unknown class-loader tag %d", d, tag)
	}
	return nil
}

// decodePayload reads the stream inside a UserRequest or its response, and
// notes the controller's class loaders that it names.
func (c *Channel) decodePayload(stream []byte) (jser.Value, error) {
	var l loaderReader
	v, err := l.decode(stream, c.cfg.Limits)
	if c.cfg.Relay != nil && len(l.seen) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, oid := range l.seen {
			c.loaders[oid] = true
		}
	}
	return v, err
}

// KnowsLoader reports whether a request named that class loader of the
// controller. Each time it did added a reference, which we never give back.
func (c *Channel) KnowsLoader(oid int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaders[oid]
}

func (l *loaderReader) decode(stream []byte, lim jser.Limits) (jser.Value, error) {
	return jser.Decode(stream, jser.Options{Limits: lim, NoDefaults: noDefaults, OnClassDesc: l.classDesc, Skip: isCreatedAt})
}

// encodePayload writes the stream inside a UserRequest or its response.
// Classes of the controller and its plugins are tagged with the loader that
// their descriptor came with, or else with the given one.
func encodePayload(v jser.Value, loader int32) ([]byte, error) {
	var seen []int32
	e := jser.Encoder{Annotate: func(d *jser.ClassDesc) []byte {
		oid := d.Mark
		if oid == 0 {
			oid = loader
		}
		if oid == 0 || isJDK(d) {
			return tag(tagSystem)
		}
		for i, s := range seen {
			if s == oid {
				return tag(int32(i))
			}
		}
		seen = append(seen, oid)
		if oid < 0 {
			return tag(tagExport, -oid)
		}
		return tag(tagLocal, oid)
	}}
	return e.Encode(v)
}

func tag(words ...int32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, uint32(w))
	}
	return b
}

// isJDK reports whether the boot class path defines the class.
func isJDK(d *jser.ClassDesc) bool {
	if d.Proxy {
		return false
	}
	n := strings.TrimLeft(d.Name, "[")
	if len(n) < len(d.Name) {
		if !strings.HasPrefix(n, "L") {
			return true // an array of primitives
		}
		n = n[1:]
	}
	for _, p := range []string{"java.", "javax.", "jdk.", "sun.", "com.sun."} {
		if strings.HasPrefix(n, p) {
			return true
		}
	}
	return false
}
