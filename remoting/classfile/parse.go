package classfile

import (
	"encoding/binary"
	"fmt"
)

// Access flags, JVM Specification tables 4.1-B, 4.5-A, 4.6-A and 4.7.6-A.
const (
	accPublic       = 0x0001
	accPrivate      = 0x0002
	accProtected    = 0x0004
	accStatic       = 0x0008
	accFinal        = 0x0010
	accSynchronized = 0x0020
	accVolatile     = 0x0040
	accTransient    = 0x0080
	accNative       = 0x0100
	accInterface    = 0x0200
	accAbstract     = 0x0400
	accStrict       = 0x0800
	accEnum         = 0x4000
)

// Class is what a class file says about its class.
type Class struct {
	Name       string // as Class.getName gives it: "pkg.Outer$Inner"
	Super      string // "" only for java.lang.Object
	Interfaces []string
	Major      uint16 // class file version: 52 is Java 8, 61 is Java 17

	flags   uint16 // of the class; of InnerClasses if it is a nested one
	fields  []member
	methods []member
	suid    int64
	suidIs  suidKind
}

// suidKind says whether a class declares its serialVersionUID.
type suidKind int

const (
	suidDefault  suidKind = iota // it does not
	suidConstant                 // as a constant
	suidComputed                 // as an expression, whose value only its initializer knows
)

// member is a field or a method.
type member struct {
	name, desc string // desc is a descriptor with slashes
	flags      uint16
}

// SyntaxError says that bytes are no class file.
type SyntaxError struct {
	Offset int // bytes from the start
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("classfile: %s at offset %d", e.Msg, e.Offset)
}

// Parse reads a class file. The error is a *SyntaxError.
func Parse(file []byte) (*Class, error) {
	p := &parser{b: file}
	c := p.class()
	if p.err != nil {
		return nil, p.err
	}
	return c, nil
}

// parser reads on with zero values once it met an error.
type parser struct {
	b     []byte
	pos   int
	err   error
	pool  []constant
	names int  // bytes of all strings used so far
	found bool // innerClasses met the class itself
}

// constant is an entry of the constant pool: where its content starts, and the
// string once it was used.
type constant struct {
	tag  byte
	at   int
	text string
}

// maxNames bounds the bytes of all names and descriptors that a class uses, as
// 65535 members could share one long name. Real classes stay far below.
const maxNames = 16 << 20

// Tags of the constant pool, JVM Specification table 4.4-A.
const (
	tagUtf8               = 1
	tagInteger            = 3
	tagFloat              = 4
	tagLong               = 5
	tagDouble             = 6
	tagClass              = 7
	tagString             = 8
	tagFieldref           = 9
	tagMethodref          = 10
	tagInterfaceMethodref = 11
	tagNameAndType        = 12
	tagMethodHandle       = 15
	tagMethodType         = 16
	tagDynamic            = 17
	tagInvokeDynamic      = 18
	tagModule             = 19
	tagPackage            = 20
)

func (p *parser) fail(msg string) {
	if p.err == nil {
		p.err = &SyntaxError{p.pos, msg}
	}
}

func (p *parser) take(n int) []byte {
	if p.err == nil && n > len(p.b)-p.pos {
		p.fail("the class file ends early")
	}
	if p.err != nil {
		return nil
	}
	b := p.b[p.pos : p.pos+n]
	p.pos += n
	return b
}

func (p *parser) u1() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) u2() uint16 {
	if b := p.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (p *parser) u4() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) class() *Class {
	if p.u4() != 0xCAFEBABE {
		p.pos = 0
		p.fail("no Java class file (it does not start with CA FE BA BE)")
		return nil
	}
	p.u2() // minor version
	c := &Class{Major: p.u2()}
	p.constants()
	c.flags = p.u2()
	this := p.className(p.u2())
	c.Name = dotted(this)
	if super := p.u2(); super != 0 {
		c.Super = dotted(p.className(super))
	}
	for range p.u2() {
		if p.err != nil {
			return nil
		}
		c.Interfaces = append(c.Interfaces, dotted(p.className(p.u2())))
	}
	c.fields = p.members(c, true)
	c.methods = p.members(c, false)
	p.attributes(func(name string, end int) {
		if name == "InnerClasses" && !p.found {
			p.innerClasses(c, this, end)
		}
	})
	if p.err == nil && p.pos != len(p.b) {
		p.fail("data after the end of the class")
	}
	return c
}

func (p *parser) constants() {
	n := int(p.u2())
	if n == 0 {
		p.fail("no constant pool")
	}
	p.pool = make([]constant, 1, min(n+1, len(p.b)/2+2)) // entry 0 is not used
	for len(p.pool) < n && p.err == nil {
		tag := p.u1()
		p.pool = append(p.pool, constant{tag: tag, at: p.pos})
		switch tag {
		case tagUtf8:
			p.take(int(p.u2()))
		case tagInteger, tagFloat, tagFieldref, tagMethodref, tagInterfaceMethodref, tagNameAndType, tagDynamic, tagInvokeDynamic:
			p.take(4)
		case tagLong, tagDouble:
			p.take(8)
			p.pool = append(p.pool, constant{}) // takes two entries
		case tagClass, tagString, tagMethodType, tagModule, tagPackage:
			p.take(2)
		case tagMethodHandle:
			p.take(3)
		default:
			p.pos--
			p.fail(fmt.Sprintf("constant of unknown tag %d", tag))
		}
	}
}

// constant returns the content of a pool entry, nil if it has another tag.
func (p *parser) constant(i uint16, tag byte) []byte {
	if p.err != nil {
		return nil
	}
	if i == 0 || int(i) >= len(p.pool) || p.pool[i].tag != tag {
		p.fail(fmt.Sprintf("constant %d is not of tag %d", i, tag))
		return nil
	}
	return p.b[p.pool[i].at:]
}

// utf8 returns a string constant in its modified UTF-8 form, which is also what
// the serialVersionUID is computed from.
func (p *parser) utf8(i uint16) string {
	b := p.constant(i, tagUtf8)
	if b == nil {
		return ""
	}
	c := &p.pool[i]
	n := int(binary.BigEndian.Uint16(b))
	if c.text == "" && n > 0 {
		c.text = string(b[2 : 2+n])
	}
	if p.names += n; p.names > maxNames {
		p.fail("the names are longer than 16 MiB together")
		return ""
	}
	return c.text
}

func (p *parser) className(i uint16) string {
	b := p.constant(i, tagClass)
	if b == nil {
		return ""
	}
	return p.utf8(binary.BigEndian.Uint16(b))
}

func (p *parser) members(c *Class, fields bool) []member {
	n := int(p.u2())
	out := make([]member, 0, min(n, len(p.b)/8))
	for range n {
		if p.err != nil {
			return nil
		}
		m := member{flags: p.u2()}
		m.name, m.desc = p.utf8(p.u2()), p.utf8(p.u2())
		suid := fields && m.name == "serialVersionUID" && m.flags&(accStatic|accFinal) == accStatic|accFinal
		tag := suidTag(m.desc)
		if suid && tag != 0 {
			c.suidIs = suidComputed
		}
		p.attributes(func(name string, _ int) {
			if suid && tag != 0 && name == "ConstantValue" {
				p.constantSUID(c, tag)
			}
		})
		out = append(out, m)
	}
	return out
}

// suidTag is the tag of the constants of a type that ObjectStreamClass accepts
// for serialVersionUID: it reads it by Field.getLong, which widens.
func suidTag(desc string) byte {
	switch desc {
	case "J":
		return tagLong
	case "I", "S", "B", "C":
		return tagInteger
	}
	return 0
}

func (p *parser) constantSUID(c *Class, tag byte) {
	b := p.constant(p.u2(), tag)
	switch {
	case b == nil:
		return
	case tag == tagLong:
		c.suid = int64(binary.BigEndian.Uint64(b))
	default:
		c.suid = int64(int32(binary.BigEndian.Uint32(b)))
	}
	c.suidIs = suidConstant
}

// attributes calls f for each attribute with the position at its content, and
// goes on after it whatever f read.
func (p *parser) attributes(f func(name string, end int)) {
	for range p.u2() {
		if p.err != nil {
			return
		}
		name := p.utf8(p.u2())
		n := p.u4()
		if p.err != nil {
			return
		}
		if int64(n) > int64(len(p.b)-p.pos) {
			p.fail("attribute longer than the rest of the class file")
			return
		}
		end := p.pos + int(n)
		f(name, end)
		if p.err == nil && p.pos > end {
			p.fail("attribute shorter than its content")
		}
		p.pos = end
	}
}

// innerClasses finds the flags that the source gave to a nested class:
// Class.getModifiers reports these, the class file's own have no private,
// protected or static.
func (p *parser) innerClasses(c *Class, this string, end int) {
	for range p.u2() {
		if p.err != nil || p.pos+8 > end {
			return
		}
		inner := p.u2()
		p.u2() // outer class
		p.u2() // simple name
		flags := p.u2()
		if inner != 0 && p.className(inner) == this {
			c.flags, p.found = flags, true
			return
		}
	}
}

func dotted(name string) string {
	b := []byte(name)
	for i, x := range b {
		if x == '/' {
			b[i] = '.'
		}
	}
	return string(b)
}
