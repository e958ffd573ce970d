package jser

// List returns the elements of any java.util list, set, queue or object array
// that occurs on the wire, also of classes that extend one of these; nil for
// null. The order is that of the stream.
func List(v Value) ([]Value, error) { return list(v, maxWrappers) }

// maxWrappers bounds how deep collections may wrap collections: a hostile one
// can wrap itself.
const maxWrappers = 8

func list(v Value, depth int) ([]Value, error) {
	for ; depth > 0; depth-- {
		switch x := v.(type) {
		case nil:
			return nil, nil
		case *Array:
			if vs, ok := x.Elems.([]Value); ok {
				return vs, nil
			}
			return nil, &TypeError{"a list", v}
		case *Object:
			inner, elems, ok := listOf(x, depth)
			if !ok {
				return nil, &TypeError{"a list", v}
			}
			if inner == nil {
				return elems, nil
			}
			v = inner
		default:
			return nil, &TypeError{"a list", v}
		}
	}
	return nil, &TypeError{"a list nested less deeply", v}
}

// listOf returns either the elements or the collection that o wraps. It looks
// for the first class of o's hierarchy that it knows, subclass first.
func listOf(o *Object, depth int) (inner Value, elems []Value, ok bool) {
	for c := o.Class; c != nil; c = c.Super {
		switch n := c.Name; n {
		case "java.util.ArrayList", "java.util.LinkedList", "java.util.HashSet", "java.util.ArrayDeque", "java.util.PriorityQueue",
			"java.util.concurrent.CopyOnWriteArrayList":
			return nil, elements(o.Extra(n)), true
		case "java.util.TreeSet":
			// writeObject: the comparator, then the size and the elements.
			e := elements(o.Extra(n))
			if len(e) == 0 {
				return nil, nil, false
			}
			return nil, e[1:], true
		case "java.util.concurrent.ConcurrentLinkedQueue", "java.util.concurrent.ConcurrentLinkedDeque",
			"java.util.concurrent.LinkedBlockingQueue", "java.util.concurrent.LinkedBlockingDeque":
			return nil, dropNulls(elements(o.Extra(n)), 1), true
		case "java.util.CollSer":
			if o.Int("tag")&0xff == collSerMap {
				return nil, nil, false
			}
			return nil, elements(o.Extra(n)), true
		case "java.util.Vector":
			vs, fine := Values(o.Get("elementData"))
			k := int(o.Int("elementCount"))
			if !fine || k < 0 || k > len(vs) {
				return nil, nil, false
			}
			return nil, vs[:k], true
		case "java.util.Collections$EmptyList", "java.util.Collections$EmptySet":
			return nil, nil, true
		case "java.util.Collections$SingletonList", "java.util.Collections$SingletonSet":
			return nil, []Value{o.Get("element")}, true
		case "java.util.Arrays$ArrayList":
			return wrapped(o, "a")
		case "java.util.Collections$UnmodifiableCollection", "java.util.Collections$SynchronizedCollection",
			"java.util.Collections$CheckedCollection":
			return wrapped(o, "c")
		case "java.util.concurrent.CopyOnWriteArraySet":
			return wrapped(o, "al")
		case "java.util.EnumSet$SerializationProxy":
			return wrapped(o, "elements")
		case "java.util.Collections$SetFromMap", "java.util.concurrent.ConcurrentSkipListSet":
			return keys(o.Get("m"), depth-1)
		case "java.util.concurrent.ConcurrentHashMap$CollectionView": // KeySetView
			return keys(o.Get("map"), depth-1)
		case "java.util.Collections$CopiesList":
			k := o.Int("n")
			if k < 0 || k > maxCopies {
				return nil, nil, false
			}
			for range k {
				elems = append(elems, o.Get("element"))
			}
			return nil, elems, true
		}
	}
	// Guava's collections serialize as {elements: Object[]}.
	if v, found := o.Field("elements"); found && v != nil {
		return v, nil, true
	}
	return nil, nil, false
}

// maxCopies bounds Collections.nCopies, whose size costs nothing on the wire.
const maxCopies = 1 << 16

// Tags of java.util.CollSer.
const (
	collSerList = 1
	collSerSet  = 2
	collSerMap  = 3
)

func wrapped(o *Object, field string) (inner Value, elems []Value, ok bool) {
	inner = o.Get(field)
	return inner, nil, inner != nil
}

func keys(m Value, depth int) (inner Value, elems []Value, ok bool) {
	es, err := mapping(m, depth)
	for _, e := range es {
		elems = append(elems, e.Key)
	}
	return nil, elems, err == nil && m != nil
}

// elements drops the blocks (capacities and sizes) of a collection's free data.
func elements(extra []Value) []Value {
	var out []Value
	for _, v := range extra {
		if _, ok := v.(Block); !ok {
			out = append(out, v)
		}
	}
	return out
}

// dropNulls drops the n nulls that end the free data of some concurrent classes.
func dropNulls(vs []Value, n int) []Value {
	for ; n > 0 && len(vs) > 0 && vs[len(vs)-1] == nil; n-- {
		vs = vs[:len(vs)-1]
	}
	return vs
}

// Entry is one mapping of a Map view.
type Entry struct{ Key, Value Value }

// Map returns the entries of any java.util map that occurs on the wire, also of
// classes that extend one, in the order of the stream; nil for null.
func Map(v Value) ([]Entry, error) { return mapping(v, maxWrappers) }

func mapping(v Value, depth int) ([]Entry, error) {
	for ; depth > 0; depth-- {
		if v == nil {
			return nil, nil
		}
		o, ok := v.(*Object)
		if !ok {
			return nil, &TypeError{"a map", v}
		}
		inner, es, err := mapOf(o, depth)
		if inner == nil {
			return es, err
		}
		v = inner
	}
	return nil, &TypeError{"a map nested less deeply", v}
}

// mapOf returns either the entries or the map that o wraps.
func mapOf(o *Object, depth int) (inner Value, es []Entry, err error) {
	for c := o.Class; c != nil; c = c.Super {
		switch n := c.Name; n {
		case "java.util.HashMap", "java.util.TreeMap", "java.util.Hashtable", "java.util.EnumMap", "java.util.IdentityHashMap":
			es, err = pairs(o, elements(o.Extra(n)))
			return nil, es, err
		case "java.util.CollSer":
			if o.Int("tag")&0xff != collSerMap {
				return nil, nil, &TypeError{"a map", o}
			}
			es, err = pairs(o, elements(o.Extra(n)))
			return nil, es, err
		case "java.util.concurrent.ConcurrentHashMap": // ends with a null key and a null value
			es, err = pairs(o, dropNulls(elements(o.Extra(n)), 2))
			return nil, es, err
		case "java.util.concurrent.ConcurrentSkipListMap": // ends with a null key
			es, err = pairs(o, dropNulls(elements(o.Extra(n)), 1))
			return nil, es, err
		case "java.util.Collections$EmptyMap":
			return nil, nil, nil
		case "java.util.Collections$SingletonMap":
			return nil, []Entry{{o.Get("k"), o.Get("v")}}, nil
		case "java.util.Collections$UnmodifiableMap", "java.util.Collections$SynchronizedMap", "java.util.Collections$CheckedMap":
			if inner = o.Get("m"); inner == nil {
				return nil, nil, &TypeError{"a map", o}
			}
			return inner, nil, nil
		}
	}
	ks, found := o.Field("keys") // Guava's ImmutableMap$SerializedForm
	if !found {
		return nil, nil, &TypeError{"a map", o}
	}
	kl, err := list(ks, depth-1)
	if err != nil {
		return nil, nil, err
	}
	vl, err := list(o.Get("values"), depth-1)
	if err != nil || len(kl) != len(vl) {
		return nil, nil, &TypeError{"a map", o}
	}
	for i := range kl {
		es = append(es, Entry{kl[i], vl[i]})
	}
	return nil, es, nil
}

// pairs makes entries of a map's free data: key, value, key, value, …
func pairs(o *Object, e []Value) ([]Entry, error) {
	if len(e)%2 != 0 {
		return nil, &TypeError{"a map with a value for every key", o}
	}
	out := make([]Entry, len(e)/2)
	for i := range out {
		out[i] = Entry{e[2*i], e[2*i+1]}
	}
	return out, nil
}
