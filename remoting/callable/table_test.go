package callable

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A controller that invents class names fills neither the memory nor a metric,
// and no call is lost from the sums.
func TestUnknownClassesAreBounded(t *testing.T) {
	var table Table
	seen := 0
	table.Seen = func(string, string) { seen++ }
	const invented = maxUnknown + 50
	for i := range invented {
		class := fmt.Sprintf("com.example.Class%d", i)
		calls, _ := table.count(class)
		table.counted(&calls.refused, class, RouteRefused)
	}
	counts := table.Counts()
	require.Len(t, counts, maxUnknown+1)
	sum := int64(0)
	for _, c := range counts {
		sum += c.Calls
	}
	require.EqualValues(t, invented, sum)
	require.Contains(t, counts, Count{OtherClasses, RouteRefused, 50})
	require.Equal(t, maxUnknown+1, seen)
}
