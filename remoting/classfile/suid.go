package classfile

import (
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"hash"
	"slices"
)

// SUID is the serialVersionUID that java.io.ObjectStreamClass gives to the
// class: 0 for enum types, the one it declares, 0 for other records, else the
// default one. ok is false if the class computes it while it is initialized,
// which its file does not show.
func (c *Class) SUID() (suid int64, ok bool) {
	switch {
	case c.isEnum():
		return 0, true
	case c.suidIs == suidConstant:
		return c.suid, true
	case c.suidIs == suidComputed:
		return 0, false
	case c.Super == "java.lang.Record":
		return 0, true
	}
	return c.DefaultSUID(), true
}

// isEnum holds for enum types and for the bodies of their constants, which
// extend the enum type.
func (c *Class) isEnum() bool { return c.Super == "java.lang.Enum" || c.flags&accEnum != 0 }

// DefaultSUID computes what java.io.ObjectStreamClass.computeDefaultSUID does:
// the first eight bytes, little-endian, of the SHA-1 over the class's name,
// flags, interfaces and those members that others may rely on.
func (c *Class) DefaultSUID() int64 {
	w := &writer{sha1.New()}
	w.utf(c.Name)

	flags := c.flags & (accPublic | accFinal | accInterface | accAbstract)
	if flags&accInterface != 0 {
		// Compilers disagreed on abstract: it counts only if there are methods.
		flags &^= accAbstract
		if c.hasMethods() {
			flags |= accAbstract
		}
	}
	w.int(uint32(flags))

	interfaces := slices.Clone(c.Interfaces)
	slices.Sort(interfaces)
	for _, n := range interfaces {
		w.utf(n)
	}

	fields := slices.Clone(c.fields)
	slices.SortStableFunc(fields, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	for _, f := range fields {
		const counted = accPublic | accPrivate | accProtected | accStatic | accFinal | accVolatile | accTransient
		if f.flags&accPrivate != 0 && f.flags&(accStatic|accTransient) != 0 {
			continue
		}
		w.utf(f.name)
		w.int(uint32(f.flags & counted))
		w.utf(f.desc) // with slashes
	}

	var inits, constructors, methods []member
	for _, m := range c.methods {
		switch {
		case m.name == "<clinit>":
			inits = append(inits, m)
		case m.name == "<init>":
			constructors = append(constructors, m)
		default:
			methods = append(methods, m)
		}
	}
	if len(inits) > 0 {
		w.utf("<clinit>")
		w.int(accStatic)
		w.utf("()V")
	}
	slices.SortStableFunc(constructors, func(a, b member) int { return cmp.Compare(a.desc, b.desc) })
	slices.SortStableFunc(methods, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.desc, b.desc))
	})
	for _, m := range append(constructors, methods...) {
		const counted = accPublic | accPrivate | accProtected | accStatic | accFinal | accSynchronized | accNative | accAbstract | accStrict
		if m.flags&accPrivate != 0 {
			continue
		}
		w.utf(m.name)
		w.int(uint32(m.flags & counted))
		w.utf(dotted(m.desc))
	}

	return int64(binary.LittleEndian.Uint64(w.Sum(nil)))
}

// hasMethods reports whether Class.getDeclaredMethods finds any: the class
// initializer is none.
func (c *Class) hasMethods() bool {
	return slices.ContainsFunc(c.methods, func(m member) bool { return m.name != "<clinit>" && m.name != "<init>" })
}

// writer is the part of java.io.DataOutputStream that the computation uses.
type writer struct{ hash.Hash }

// utf writes a string that is in modified UTF-8 already.
func (w *writer) utf(s string) {
	w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s))))
	w.Write([]byte(s))
}

func (w *writer) int(v uint32) { w.Write(binary.BigEndian.AppendUint32(nil, v)) }
