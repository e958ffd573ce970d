// Package classfile reads as much of a Java class file as is needed to answer
// one question: what serialVersionUID does Java give this class?
//
//	CA FE BA BE  minor major   ──Parse──▶  Class{Name, Super, Major, …}
//	constant pool                               │
//	flags, this, super, interfaces              ├─ explicit: static final long serialVersionUID
//	fields, methods                             │
//	attributes (InnerClasses)                   └─ DefaultSUID: SHA-1 over the class's shape
//
// A class file may come from another machine: Parse never panics, reads no
// byte twice and keeps nothing larger than its input.
//
// The format is that of the Java Virtual Machine Specification, chapter 4; the
// computation that of the Java Object Serialization Specification, section 4.6.
package classfile
