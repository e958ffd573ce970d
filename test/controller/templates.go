package controller

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/footman-ci/footman/remoting/jser"
)

//go:embed templates.jsonl.gz
var recorded []byte

// template is one recorded command of a real controller.
type template struct {
	name    string
	raw     []byte
	loaders map[int32]string // names of the class loaders that its session knew by oid
	single  bool             // one loader stands for all

	// Of UserRequests, made once: the command around the ids and the payload.
	payload           []byte
	head, mid, suffix []byte
}

// loaderOIDs are the oids under which this controller exports class loaders.
// Other exports start at firstOID.
var loaderOIDs = map[string]int32{
	"Jenkins v2.541.2": 2, "app": 3,
	"PluginClassLoader for durable-task": 4, "PluginClassLoader for workflow-api": 5,
}

const firstOID = 1000

func loaderName(oid int32) (string, bool) {
	for name, n := range loaderOIDs {
		if n == oid {
			return name, true
		}
	}
	return "", false
}

// templates are for agents that load no classes, singleLoader for those that do:
// without PREFETCH a class would be defined again by each loader that is asked
// for it.
var (
	templates    = sync.OnceValue(func() map[string]*template { return mustLoad(false) })
	singleLoader = sync.OnceValue(func() map[string]*template { return mustLoad(true) })
)

func mustLoad(single bool) map[string]*template {
	ts, err := loadTemplates(bytes.NewReader(recorded), single)
	if err != nil {
		panic(err) // embedded in the program
	}
	return ts
}

func loadTemplates(r io.Reader, single bool) (map[string]*template, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	ts := map[string]*template{}
	for d := json.NewDecoder(z); ; {
		var line struct {
			Name    string
			Loaders map[int32]string
			B64     string
		}
		if err := d.Decode(&line); err == io.EOF {
			return ts, nil
		} else if err != nil {
			return nil, err
		}
		raw, err := base64.StdEncoding.DecodeString(line.B64)
		if err != nil {
			return nil, err
		}
		t := &template{name: line.Name, raw: raw, loaders: line.Loaders, single: single}
		if err := t.prepare(); err != nil {
			return nil, fmt.Errorf("controller: template %s: %w", t.name, err)
		}
		ts[t.name] = t
	}
}

// noDefaults lists the classes whose writeObject leaves out the fields that
// their descriptors list.
var decodeOptions = jser.Options{NoDefaults: map[string]bool{
	"hudson.remoting.Pipe": true, "hudson.remoting.RemoteInputStream": true, "hudson.util.StreamTaskListener": true,
}}

func decodeObject(b []byte) (*jser.Object, error) {
	v, err := jser.Decode(b, decodeOptions)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*jser.Object)
	if !ok {
		return nil, &jser.TypeError{Want: "an object", Got: v}
	}
	return o, nil
}

// marks stand for the ids and the payload while a command is cut.
const idMark, ioMark, payloadMark = 0x7A6B5C01, 0x7A6B5C02, "<7A6B5C03>"

func (t *template) prepare() error {
	o, err := decodeObject(t.raw)
	if err != nil || o.Class.Name != "hudson.remoting.UserRequest" {
		return err
	}
	payload, _ := jser.Bytes(o.Get("request"))
	t.payload = payload
	if h := o.Obj("classLoaderProxy").Obj("h"); h != nil {
		oid, err := t.loader(h.Int("oid"))
		if err != nil {
			return err
		}
		set(h, "oid", oid)
	}
	set(o, "id", int32(idMark))
	set(o, "lastIoId", int32(ioMark))
	set(o, "request", jser.ByteArray([]byte(payloadMark)))
	b, err := t.encode(o)
	if err != nil {
		return err
	}
	ids := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, idMark), ioMark)
	i, p := bytes.Index(b, ids), bytes.Index(b, []byte(payloadMark))
	if i < 0 || p < i {
		return fmt.Errorf("not the shape of a UserRequest")
	}
	t.head, t.mid, t.suffix = b[:i], b[i+8:p-4], b[p+len(payloadMark):]
	return nil
}

// loader translates the oid of a loader in the recording to ours.
func (t *template) loader(oid int32) (int32, error) {
	n, ok := loaderOIDs[t.loaders[oid]]
	if t.single {
		return loaderOIDs["Jenkins v2.541.2"], nil
	}
	if !ok {
		return 0, fmt.Errorf("class loader %d (%q) is unknown", oid, t.loaders[oid])
	}
	return n, nil
}

// callable decodes a copy of the recorded callable, to be filled in.
func (t *template) callable() *jser.Object {
	o, err := decodeObject(t.payload)
	if err != nil {
		panic(fmt.Sprintf("controller: template %s: %v", t.name, err)) // tested
	}
	return o
}

// command makes the UserRequest around an encoded callable.
func (t *template) command(id, lastIO int32, payload []byte) []byte {
	b := make([]byte, 0, len(t.head)+len(t.mid)+len(t.suffix)+len(payload)+12)
	b = append(b, t.head...)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	b = binary.BigEndian.AppendUint32(b, uint32(lastIO))
	b = append(b, t.mid...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return append(b, t.suffix...)
}

// encode writes an object with the class-loader tags that it was read with; the
// tag -2 names a loader of the controller (MultiClassLoaderSerializer).
func (t *template) encode(v jser.Value) (b []byte, err error) {
	var bad error
	e := jser.Encoder{Annotate: func(d *jser.ClassDesc) []byte {
		if len(d.Annotation) != 1 {
			return nil
		}
		tag, _ := d.Annotation[0].(jser.Block)
		if len(tag) != 8 || int32(binary.BigEndian.Uint32(tag)) != -2 {
			return tag
		}
		oid, err := t.loader(int32(binary.BigEndian.Uint32(tag[4:])))
		if err != nil {
			bad = fmt.Errorf("class %s: %w", d, err)
		}
		return binary.BigEndian.AppendUint32(append([]byte(nil), tag[:4]...), uint32(oid))
	}}
	if b, err = e.Encode(v); err == nil {
		err = bad
	}
	return b, err
}

// set changes a field of an object. It panics when there is none: templates
// are our own.
func set(o *jser.Object, field string, v jser.Value) {
	for i := len(o.Data) - 1; i >= 0; i-- {
		d := &o.Data[i]
		for j, f := range d.Desc.Fields {
			if f.Name == field && d.Values != nil {
				d.Values[j] = v
				return
			}
		}
	}
	panic(fmt.Sprintf("controller: %s has no field %s", o.Class.Name, field))
}

// setOID changes the number that ends the free data of a RemoteOutputStream
// (oid) or Pipe (a flag, oid).
func setOID(o *jser.Object, oid int32) {
	d := &o.Data[len(o.Data)-1]
	b := append(jser.Block(nil), d.Extra[0].(jser.Block)...)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(oid))
	d.Extra[0] = b
}

// setPath changes the path of a FileCallableWrapper or CallableWith and returns
// the callable in it.
func setPath(o *jser.Object, path string) *jser.Object {
	switch o.Class.Name {
	case "hudson.FilePath$CallableWith":
		set(o.Obj("this$0"), "remote", path)
		return o.Obj("task")
	default:
		set(o.Obj("filePath"), "remote", path)
		return o.Obj("callable")
	}
}
