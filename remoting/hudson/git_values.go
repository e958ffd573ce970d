package hudson

import (
	"bytes"
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

// Descriptors of JGit and git-client. Those of package revwalk have no
// serialVersionUID of their own: see gitClient.revCommit.
var (
	objectIDDesc   = jser.Custom(objectIDClass, 1, nil)
	gitObjectDesc  = jser.Serializable("hudson.plugins.git.GitObject", 1, nil, jser.Ref("name", "java.lang.String"), jser.Ref("sha1", objectIDClass))
	branchDesc     = jser.Serializable("hudson.plugins.git.Branch", 1, gitObjectDesc)
	indexEntryDesc = jser.Serializable("hudson.plugins.git.IndexEntry", 1, nil, jser.Ref("file", "java.lang.String"),
		jser.Ref("mode", "java.lang.String"), jser.Ref("object", "java.lang.String"), jser.Ref("type", "java.lang.String"))
	missingObjectClass = jser.Serializable("org.eclipse.jgit.errors.MissingObjectException", 1, jser.IOExceptionClass,
		jser.Ref("missing", objectIDClass))
)

func objectID(id git.ID) *jser.Object {
	return &jser.Object{Class: objectIDDesc, Data: []jser.ClassData{{Desc: objectIDDesc, Extra: []jser.Value{jser.Block(id[:])}}}}
}

func objectIDs(ids []git.ID) *jser.Object {
	vs := make([]jser.Value, len(ids))
	for i, id := range ids {
		vs[i] = objectID(id)
	}
	return jser.ArrayList(vs...)
}

// objectIDOrNull is null for nil.
func objectIDOrNull(id *git.ID) jser.Value {
	if id == nil {
		return nil
	}
	return objectID(*id)
}

func objectIDMap(m map[string]git.ID) *jser.Object {
	es := make([]jser.Entry, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		es = append(es, jser.Entry{Key: k, Value: objectID(m[k])})
	}
	return jser.HashMap(es...)
}

// gitRefs makes objects of class d: Branch or GitObject.
func gitRefs(d *jser.ClassDesc, refs []git.Ref) []jser.Value {
	vs := make([]jser.Value, len(refs))
	for i, r := range refs {
		vs[i] = jser.New(d, r.Name, objectID(r.ID))
	}
	return vs
}

// revCommit makes the org.eclipse.jgit.revwalk.RevCommit that RevWalk.parseCommit
// would return: parsed itself, its parents and its tree only named. The numbers
// of its classes are those of the controller's JGit.
func (g *gitClient) revCommit(ctx context.Context, call *remoting.Call, id git.ID) (jser.Value, error) {
	body, shallow, err := g.RawCommit(ctx, id)
	if err != nil {
		return nil, err
	}
	if body == nil {
		x := remoting.Errorf(missingObjectClass, "Missing commit %s", id)
		x.Fields = []jser.Value{objectID(id)}
		return nil, x
	}
	c := parseCommit(body)
	if c == nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the commit %s can't be read", id)
	}
	if shallow {
		c.parents = nil
	}
	suid := func(class string, known int64) int64 {
		if call.Loader > 0 {
			if n, err := g.agent.SUID(ctx, call.Channel, call.Loader, class); err == nil {
				return n
			}
		}
		return known
	}
	const entryName, revwalk = "org.eclipse.jgit.lib.ObjectIdOwnerMap$Entry", "org.eclipse.jgit.revwalk."
	entry := jser.Serializable(entryName, suid(entryName, -3650801874292099527), objectIDDesc)
	object := jser.Serializable(revwalk+"RevObject", suid(revwalk+"RevObject", 99620771947899148), entry, jser.Prim("flags", 'I'))
	tree := jser.Serializable(revwalk+"RevTree", suid(revwalk+"RevTree", 8952480809292200450), object)
	commit := jser.Serializable(revwalk+"RevCommit", suid(revwalk+"RevCommit", 201637225651251486), object,
		jser.Prim("commitTime", 'I'), jser.Prim("inDegree", 'I'), jser.Ref("buffer", "[B"),
		jser.Ref("parents", "[Lorg/eclipse/jgit/revwalk/RevCommit;"), jser.Ref("tree", revwalk+"RevTree"))
	node := func(d *jser.ClassDesc, id git.ID, flags int32, values ...jser.Value) *jser.Object {
		return &jser.Object{Class: d, Data: []jser.ClassData{{Desc: objectIDDesc, Extra: []jser.Value{jser.Block(id[:])}}, {Desc: entry},
			{Desc: object, Values: []jser.Value{flags}}, {Desc: d, Values: values}}}
	}
	parents := make([]jser.Value, len(c.parents))
	for i, p := range c.parents {
		parents[i] = node(commit, p, 0, int32(0), int32(0), nil, nil, nil)
	}
	return node(commit, id, 1, c.time, int32(0), jser.ByteArray(body),
		&jser.Array{Class: jser.ArrayClass("[L"+revwalk+"RevCommit;", 0), Elems: parents}, node(tree, c.tree, 0)), nil
}

type rawCommit struct {
	tree    git.ID
	parents []git.ID
	time    int32
}

// parseCommit reads what git keeps of a commit, nil when it is none.
func parseCommit(body []byte) *rawCommit {
	c := &rawCommit{}
	for line := range bytes.Lines(body) {
		word, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		switch string(word) {
		case "tree", "parent":
			var id git.ID
			if len(rest) != hex.EncodedLen(len(id)) {
				return nil
			}
			if _, err := hex.Decode(id[:], rest); err != nil {
				return nil
			}
			if string(word) == "tree" {
				c.tree = id
			} else {
				c.parents = append(c.parents, id)
			}
		case "committer":
			if i := bytes.LastIndexByte(rest, '>'); i >= 0 {
				seconds, _, _ := strings.Cut(strings.TrimSpace(string(rest[i+1:])), " ")
				n, _ := strconv.ParseInt(seconds, 10, 64)
				c.time = int32(n)
			}
			return c
		case "":
			return c
		}
	}
	return c
}
