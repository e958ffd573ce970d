package junit

// builder turns the events of one report into suites, in the order in which
// SuiteResult.parseSuite adds them: nested suites first, then their parent.
//
// The root element is a suite whatever its name; inside a suite the children
// "testsuite" and "testcase" open suites and cases; of the children "error",
// "failure", "skipped", "system-out", "system-err" and "properties" the first of
// each counts, of its text only what stands directly in it. All names are local
// names. Everything else is skipped.
type builder struct {
	p       *parser
	rep     report
	stack   []level
	skip    int // open elements of no interest; they have no level
	suites  []*SuiteResult
	sureOut *readOutput
	fault   error // of a report that Java could read but not digest
}

// level is an open element. Exactly one of node (suite or case), props, col and
// failure says what its children and text are for.
type level struct {
	node     *node
	suite    bool
	props    map[string]string
	failure  *Failure
	col      *collector
	property *string  // name of the property whose text col gathers
	dest     **string // where the text of col goes, for parts of a Failure
	rerun    bool
}

// node is an open suite or case; errors at suite level become a case, so both
// have the same parts.
type node struct {
	name, class, pkg, timestamp, id, time *string

	errors, failure, skipped *fault
	stdout, stderr           *collector
	props                    map[string]string
	sawProps                 bool
	flaky, rerun             []Failure
	cases                    []timedCase
}

// fault is an error, failure or skipped element.
type fault struct {
	message *string
	text    *collector
}

type timedCase struct {
	*CaseResult
	timestamp *string
}

func (b *builder) start(local string, a *attrs) error {
	if b.skip > 0 {
		b.skip++
		return nil
	}
	if err := b.p.ctx.Err(); err != nil {
		return err
	}
	if len(b.stack) == 0 {
		return b.open(local, a, true)
	}
	top := &b.stack[len(b.stack)-1]
	switch {
	case top.node != nil:
		if local == "testsuite" && top.suite {
			return b.open(local, a, true)
		}
		if local == "testcase" && top.suite {
			return b.open(local, a, false)
		}
		b.part(top.node, local, a)
	case top.props != nil && local == "property":
		b.property(top.props, a)
	case top.failure != nil:
		b.failurePart(top.failure, local)
	default:
		b.skip = 1
	}
	return nil
}

// open begins a suite or a case.
func (b *builder) open(local string, a *attrs, suite bool) error {
	n := &node{name: a.get("name"), timestamp: a.get("timestamp"), time: a.get("time")}
	if suite {
		n.pkg, n.id = a.get("package"), a.get("id")
	} else {
		n.class = a.get("classname")
	}
	b.stack = append(b.stack, level{node: n, suite: suite})
	return b.p.bud.take(len(a.buf))
}

// part begins a child of a suite or case that is not one itself.
func (b *builder) part(n *node, local string, a *attrs) {
	l := level{}
	switch {
	case local == "error" && n.errors == nil:
		n.errors = b.newFault(a)
		l.col = n.errors.text
	case local == "failure" && n.failure == nil:
		n.failure = b.newFault(a)
		l.col = n.failure.text
	case local == "skipped" && n.skipped == nil:
		n.skipped = b.newFault(a)
		l.col = n.skipped.text
	case local == "system-out" && n.stdout == nil:
		n.stdout = b.output()
		l.col = n.stdout
	case local == "system-err" && n.stderr == nil:
		n.stderr = b.output()
		l.col = n.stderr
	case local == "properties" && !n.sawProps && b.p.opts.KeepProperties:
		n.sawProps = true
		n.props = map[string]string{}
		l.props = n.props
	case local == "flakyFailure" || local == "rerunFailure":
		l.failure = &Failure{Message: a.get("message"), Type: a.get("type")}
		l.rerun = local == "rerunFailure"
	default:
		b.skip = 1
		return
	}
	b.stack = append(b.stack, l)
}

func (b *builder) newFault(a *attrs) *fault {
	return &fault{message: a.get("message"), text: &collector{full: true, bud: &b.p.bud}}
}

// output is a collector for system-out or system-err of a suite or case.
func (b *builder) output() *collector {
	return &collector{full: b.p.opts.StdioRetention != RetainNone, bud: &b.p.bud}
}

func (b *builder) property(props map[string]string, a *attrs) {
	name := a.get("name")
	if name == nil {
		b.skip = 1
		return
	}
	if value := a.get("value"); value != nil {
		props[*name] = *value
		b.skip = 1
		return
	}
	b.stack = append(b.stack, level{
		property: name,
		col:      &collector{full: true, bud: &b.p.bud},
	})
}

// failurePart begins a child of flakyFailure or rerunFailure.
func (b *builder) failurePart(f *Failure, local string) {
	var dest **string
	switch local {
	case "stackTrace":
		dest = &f.StackTrace
	case "system-out":
		dest = &f.Stdout
	case "system-err":
		dest = &f.Stderr
	}
	if dest == nil || *dest != nil {
		b.skip = 1
		return
	}
	b.stack = append(b.stack, level{dest: dest, col: &collector{full: true, bud: &b.p.bud}})
}

func (b *builder) text(t []byte) error {
	if b.skip > 0 {
		return nil
	}
	if col := b.stack[len(b.stack)-1].col; col != nil {
		return col.write(t)
	}
	return nil
}

func (b *builder) end() error {
	if b.skip > 0 {
		b.skip--
		return nil
	}
	l := b.stack[len(b.stack)-1]
	b.stack = b.stack[:len(b.stack)-1]
	switch {
	case l.dest != nil:
		*l.dest = l.col.all()
	case l.property != nil:
		b.stack[len(b.stack)-1].props[*l.property] = *l.col.all()
	case l.failure != nil:
		n := b.stack[len(b.stack)-1].node
		if l.rerun {
			n.rerun = append(n.rerun, *l.failure)
		} else {
			n.flaky = append(n.flaky, *l.failure)
		}
	case l.node != nil && l.suite:
		return b.endSuite(l.node)
	case l.node != nil:
		return b.endCase(l.node)
	}
	return nil
}

// endCase adds a case to the suite that it stands in.
func (b *builder) endCase(n *node) error {
	suite := b.stack[len(b.stack)-1].node
	class := n.class
	if class == nil {
		class = suite.name
	}
	c := b.caseResult(n, class)
	suite.cases = append(suite.cases, timedCase{c, n.timestamp})
	n.release()
	return b.p.bud.take(retained(c))
}

func (n *node) release() {
	for _, f := range []*fault{n.errors, n.failure, n.skipped} {
		if f != nil {
			f.text.release()
		}
	}
	n.stdout.release()
	n.stderr.release()
}

// retained is what the strings of a case cost, those of Failure excepted:
// their collectors stay charged.
func retained(c *CaseResult) int {
	n := 256
	for _, s := range []*string{c.ErrorStackTrace, c.SkippedMessage, c.Stdout, c.Stderr} {
		if s != nil {
			n += len(*s)
		}
	}
	return n
}
