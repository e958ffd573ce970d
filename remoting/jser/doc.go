// Package jser reads and writes Java object streams (the Java Object
// Serialization Stream Protocol, version 5) without knowing any Java class.
//
//	AC ED 00 05  ──Decoder──▶  nodes  ──Encoder──▶  AC ED 00 05
//
//	TC_OBJECT                 *Object   one ClassData for each class, superclass first
//	TC_ARRAY                  *Array    []byte, []int64, … or []Value
//	TC_STRING, TC_LONGSTRING  string
//	TC_ENUM                   *Enum
//	TC_CLASS                  *Class
//	TC_CLASSDESC, TC_PROXY…   *ClassDesc
//	TC_BLOCKDATA(LONG)        Block     only inside annotations and ClassData.Extra
//	TC_NULL                   nil
//
// Nothing is ever instantiated by name: a hostile stream can only produce
// nodes, and the Limits bound how many. Typed views (String, List, Map, …)
// read values out of nodes; small constructors (ArrayList, HashMap, Throwable,
// …) build the JDK objects that an answer needs.
//
// Strings are Go strings in UTF-8. A lone surrogate, which Java strings may
// hold, is kept as its three-byte form, so that it survives a round trip.
//
// The Decoder gives each string of a stream an address of its own, and the
// Encoder writes a reference when it meets the same string again, not an equal
// one: what is read and written again is the same to the byte. Only references
// to an empty string are not kept.
//
// What a stream does not tell: whether a writeObject method wrote the fields
// that its class lists. See Options.NoDefaults and DecodePrefix. Fields that
// are written after other data (no class of Jenkins or the JDK does so) can't
// be told from that data.
//
// The stream format is described in the Java Object Serialization
// Specification, chapter 6; the custom forms of JDK classes in their
// writeObject methods.
package jser
