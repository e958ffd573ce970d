package remoting

import (
	"context"

	"github.com/footman-ci/footman/remoting/jser"
)

// classIClassLoader is the interface behind every class loader of the
// controller.
const classIClassLoader = "hudson.remoting.RemoteClassLoader$IClassLoader"

// FetchClass asks a class loader of the controller for the file of a class by
// its binary name (IClassLoader.fetch). loader is what ClassDesc.Mark and
// Call.Loader hold. An unknown class is a *RemoteError with the class
// java.lang.ClassNotFoundException. Nothing is cached, and the agent never
// runs what it gets.
func (c *Channel) FetchClass(ctx context.Context, loader int32, name string) ([]byte, error) {
	if loader <= 0 {
		loader = c.loader.Load()
	}
	if loader <= 0 {
		return nil, Errorf(IllegalStateClass, "footman: no class loader of the controller is known yet to fetch %s", name)
	}
	r := &RemoteObject{c: c, oid: loader}
	v, err := r.Invoke(ctx, classIClassLoader, "fetch", []string{"java.lang.String"}, []jser.Value{name}, 0)
	if err != nil {
		return nil, err
	}
	b, ok := jser.Bytes(v)
	if !ok {
		return nil, &jser.TypeError{Want: "the file of " + name, Got: v}
	}
	return b, nil
}
