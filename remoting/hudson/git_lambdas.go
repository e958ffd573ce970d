package hudson

import (
	"context"
	"strings"

	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

// chooserLambda knows the two lambdas of the default build chooser, which come
// with a branch specifier that has wildcards. Both take Revisions and answer
// with some of them. Their code has been the same since git 2.3 (2014); one with
// another signature is unknown.
//
//	remote branches ─ specifier ─▶ GitUtils.filterTipBranches ─▶ tips ─▶ DefaultBuildChooser ─▶ oldest first
func chooserLambda(g *gitClient, a *gitArgs, o *jser.Object) gitRun {
	const util, end = "hudson/plugins/git/util/", "Lorg/eclipse/jgit/lib/Repository;Lhudson/remoting/VirtualChannel;)Ljava/util/"
	captured, _ := jser.Values(o.Get("capturedArgs"))
	method, signature := o.Str("implMethodName"), o.Str("implMethodSignature")
	is := func(class, name, types string) bool {
		return o.Str("implClass") == util+class && strings.HasPrefix(method, "lambda$"+name+"$") && strings.HasPrefix(signature, "("+types+end)
	}
	switch {
	case len(captured) == 2 && is("GitUtils", "filterTipBranches", "Ljava/util/List;Ljava/util/Collection;"):
		return ofRevisions(a, captured[1], g.Tips)
	case len(captured) == 1 && is("DefaultBuildChooser", "getAdvancedCandidateRevisions", "Ljava/util/List;"):
		return ofRevisions(a, captured[0], g.ByTime)
	}
	return nil
}

// ofRevisions answers with the Revisions that choose picks, by index.
func ofRevisions(a *gitArgs, v jser.Value, choose func(context.Context, []git.ID) ([]int, error)) gitRun {
	list, err := jser.List(v)
	ids := make([]git.ID, len(list))
	for i, v := range list {
		if r, ok := v.(*jser.Object); ok && err == nil && r.Class.Name == "hudson.plugins.git.Revision" {
			ids[i], err = gitID(r.Obj("sha1"))
		} else if err == nil {
			err = &jser.TypeError{Want: "a Revision", Got: v}
		}
	}
	if err != nil {
		a.bad(0, err)
	}
	return func(ctx context.Context) (jser.Value, error) {
		if len(ids) == 0 {
			return jser.ArrayList(), nil
		}
		order, err := choose(ctx, ids)
		if err != nil {
			return nil, err
		}
		chosen := make([]jser.Value, len(order))
		for i, n := range order {
			chosen[i] = list[n]
		}
		return jser.ArrayList(chosen...), nil
	}
}
