package recipes

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// `terraform validate` wants the provider, which no registry within CI's reach
// has. What it would check is checked by hand instead, for the resources that
// the recipes use:
//
//	names of arguments and blocks ─▶ schema below, strictly
//	references                    ─▶ everything named is declared
//	expressions                   ─▶ evaluated, with made-up values of resources
//	container_definitions         ─▶ the types of ECS's own API
//	layout                        ─▶ hclwrite, as `terraform fmt`

// schema is what may be in a block: words of names.
type schema struct {
	need, may string
	blocks    map[string]schema
}

var (
	module = map[string]schema{
		"terraform": {may: "required_version", blocks: map[string]schema{"required_providers": {may: "aws"}}},
		"provider":  {may: "region alias profile default_tags"},
		"variable": {may: "type default description nullable sensitive", blocks: map[string]schema{
			"validation": {need: "condition error_message"}}},
		"output": {need: "value", may: "description sensitive"},
		"locals": {may: "*"},
	}
	// for every resource and data source
	meta = "provider depends_on count for_each"
	// of hashicorp/aws 5; read is what others may refer to besides the arguments
	resources = map[string]schema{
		"aws_ecs_cluster": {need: "name", may: "tags"},
		"aws_ecs_cluster_capacity_providers": {need: "cluster_name", may: "capacity_providers", blocks: map[string]schema{
			"default_capacity_provider_strategy": {need: "capacity_provider", may: "weight base"}}},
		"aws_cloudwatch_log_group": {may: "name name_prefix retention_in_days kms_key_id skip_destroy log_group_class tags"},
		"aws_security_group": {may: "name name_prefix description vpc_id revoke_rules_on_delete tags", blocks: map[string]schema{
			"egress": {need: "from_port to_port protocol", may: "cidr_blocks ipv6_cidr_blocks description prefix_list_ids security_groups self"}}},
		"aws_iam_role":                   {need: "assume_role_policy", may: "name name_prefix path description max_session_duration permissions_boundary force_detach_policies tags"},
		"aws_iam_role_policy":            {need: "role policy", may: "name name_prefix"},
		"aws_iam_role_policy_attachment": {need: "role policy_arn"},
		"aws_ecs_task_definition": {need: "family container_definitions", may: "cpu memory network_mode requires_compatibilities execution_role_arn task_role_arn ipc_mode pid_mode skip_destroy track_latest enable_fault_injection tags",
			blocks: map[string]schema{
				"runtime_platform":  {may: "cpu_architecture operating_system_family"},
				"ephemeral_storage": {need: "size_in_gib"},
				"volume":            {need: "name", may: "host_path configure_at_launch"},
			}},
	}
	data = map[string]schema{
		"aws_iam_policy_document": {may: "version policy_id source_policy_documents override_policy_documents", blocks: map[string]schema{
			"statement": {may: "sid effect actions not_actions resources not_resources", blocks: map[string]schema{
				"principals": {need: "type identifiers"},
				"condition":  {need: "test variable values"},
			}}}},
		"aws_caller_identity": {},
	}
	computed = map[string]string{
		"aws_ecs_cluster": "arn id", "aws_cloudwatch_log_group": "arn id", "aws_security_group": "arn id", "aws_iam_role": "arn id unique_id",
		"aws_ecs_task_definition": "arn arn_without_revision revision id", "aws_iam_policy_document": "json minified_json", "aws_caller_identity": "account_id arn user_id",
	}
)

// keep checks a block against its schema.
func (s schema) keep(t *testing.T, where string, b *hclsyntax.Body) {
	allowed := strings.Fields(s.need + " " + s.may + " " + meta)
	for name := range b.Attributes {
		require.True(t, s.may == "*" || slices.Contains(allowed, name), "%s has no argument %s", where, name)
	}
	for _, name := range strings.Fields(s.need) {
		require.Contains(t, b.Attributes, name, where)
	}
	for _, in := range b.Blocks {
		nested, ok := s.blocks[in.Type]
		require.True(t, ok, "%s has no block %s", where, in.Type)
		require.Empty(t, in.Labels, where)
		nested.keep(t, where+"."+in.Type, in.Body)
	}
}

// scope is what expressions of a module may name, with made-up values.
func scope(t *testing.T, body *hclsyntax.Body) *hcl.EvalContext {
	made := func(typ, name string, b *hclsyntax.Body) cty.Value {
		v := map[string]cty.Value{}
		for _, attr := range strings.Fields(computed[typ]) {
			v[attr] = cty.StringVal(typ + "." + name + "." + attr)
		}
		for attr := range b.Attributes {
			v[attr] = cty.StringVal(typ + "." + name + "." + attr)
		}
		return cty.ObjectVal(v)
	}
	vars := map[string]cty.Value{}
	byType, dataByType := map[string]map[string]cty.Value{}, map[string]map[string]cty.Value{}
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable":
			vars[b.Labels[0]] = cty.StringVal("var." + b.Labels[0])
			if d := b.Body.Attributes["default"]; d != nil {
				v, diags := d.Expr.Value(nil)
				require.False(t, diags.HasErrors(), diags.Error())
				vars[b.Labels[0]] = v
			}
		case "resource", "data":
			to := byType
			if b.Type == "data" {
				to = dataByType
			}
			if to[b.Labels[0]] == nil {
				to[b.Labels[0]] = map[string]cty.Value{}
			}
			require.NotContains(t, to[b.Labels[0]], b.Labels[1], "declared twice")
			to[b.Labels[0]][b.Labels[1]] = made(b.Labels[0], b.Labels[1], b.Body)
		}
	}
	all := map[string]cty.Value{"var": cty.ObjectVal(vars)}
	for typ, names := range byType {
		all[typ] = cty.ObjectVal(names)
	}
	sources := map[string]cty.Value{}
	for typ, names := range dataByType {
		sources[typ] = cty.ObjectVal(names)
	}
	all["data"] = cty.ObjectVal(sources)
	in := &hcl.EvalContext{Variables: all, Functions: map[string]function.Function{
		"jsonencode": stdlib.JSONEncodeFunc, "contains": stdlib.ContainsFunc, "join": stdlib.JoinFunc, "format": stdlib.FormatFunc,
		"replace": stdlib.ReplaceFunc, "merge": stdlib.MergeFunc, "concat": stdlib.ConcatFunc,
	}}
	locals := map[string]cty.Value{}
	for _, b := range body.Blocks {
		if b.Type == "locals" {
			for name, a := range b.Body.Attributes {
				v, diags := a.Expr.Value(in)
				require.False(t, diags.HasErrors(), diags.Error())
				locals[name] = v
			}
		}
	}
	all["local"] = cty.ObjectVal(locals)
	return in
}

// evaluate looks at every expression below a block.
func evaluate(t *testing.T, where string, b *hclsyntax.Body, in *hcl.EvalContext) {
	for name, a := range b.Attributes {
		if name == "type" && strings.HasPrefix(where, "variable.") || name == "provider" || name == "configuration_aliases" || name == "aws" {
			continue // words of Terraform's
		}
		_, diags := a.Expr.Value(in)
		require.False(t, diags.HasErrors(), "%s.%s: %s", where, name, diags.Error())
	}
	for _, n := range b.Blocks {
		evaluate(t, where+"."+n.Type, n.Body, in)
	}
}

func TestTerraform(t *testing.T) {
	for _, f := range []string{"fargate/main.tf", "aws/terraform/main.tf"} {
		t.Run(f, func(t *testing.T) {
			text := read(t, f)
			require.Equal(t, string(hclwrite.Format(text)), string(text), "run terraform fmt")
			file, diags := hclsyntax.ParseConfig(text, f, hcl.InitialPos)
			require.False(t, diags.HasErrors(), diags.Error())
			body := file.Body.(*hclsyntax.Body)
			require.Empty(t, body.Attributes)
			in := scope(t, body)
			checkBlocks(t, body, in)
			checkTaskDefinitions(t, body, in)
		})
	}
}

func checkBlocks(t *testing.T, body *hclsyntax.Body, in *hcl.EvalContext) {
	for _, b := range body.Blocks {
		where := strings.Join(append([]string{b.Type}, b.Labels...), ".")
		s, ok := module[b.Type]
		switch b.Type {
		case "resource":
			s, ok = resources[b.Labels[0]]
		case "data":
			s, ok = data[b.Labels[0]]
		}
		require.True(t, ok, "%s is not known to this test: add it with its arguments", where)
		s.keep(t, where, b.Body)
		evaluate(t, where, b.Body, in)
	}
}

// checkTaskDefinitions decodes containers by the API's types; they must be those
// of task-definition.json but for what the plugin brings.
func checkTaskDefinitions(t *testing.T, body *hclsyntax.Body, in *hcl.EvalContext) {
	for _, b := range body.Blocks {
		if b.Type != "resource" || b.Labels[0] != "aws_ecs_task_definition" {
			continue
		}
		v, diags := b.Body.Attributes["container_definitions"].Expr.Value(in)
		require.False(t, diags.HasErrors(), diags.Error())
		var defs []ecstypes.ContainerDefinition
		strict(t, []byte(v.AsString()), &defs)
		var volumes []string
		for _, n := range b.Body.Blocks {
			if n.Type == "volume" {
				name, _ := n.Body.Attributes["name"].Expr.Value(in)
				volumes = append(volumes, name.AsString())
			}
		}
		agent := checkContainers(t, defs, volumes)
		require.Empty(t, agent.Command, "the plugin brings it")

		var whole ecs.RegisterTaskDefinitionInput
		strict(t, read(t, "fargate/task-definition.json"), &whole)
		same := whole.ContainerDefinitions[0]
		require.Equal(t, same.HealthCheck, agent.HealthCheck)
		require.Equal(t, same.MountPoints, agent.MountPoints)
		require.Equal(t, same.LinuxParameters, agent.LinuxParameters)
		require.Equal(t, same.StopTimeout, agent.StopTimeout)
		require.Equal(t, whole.ContainerDefinitions[1].EntryPoint, defs[1].EntryPoint)
		require.Equal(t, whole.ContainerDefinitions[1].Command, defs[1].Command)
	}
}

// terraformContainers are the containers of fargate/main.tf.
func terraformContainers(t *testing.T) (defs []ecstypes.ContainerDefinition) {
	file, diags := hclsyntax.ParseConfig(read(t, "fargate/main.tf"), "main.tf", hcl.InitialPos)
	require.False(t, diags.HasErrors(), diags.Error())
	body := file.Body.(*hclsyntax.Body)
	in := scope(t, body)
	for _, b := range body.Blocks {
		if b.Type == "resource" && b.Labels[0] == "aws_ecs_task_definition" {
			v, diags := b.Body.Attributes["container_definitions"].Expr.Value(in)
			require.False(t, diags.HasErrors(), diags.Error())
			strict(t, []byte(v.AsString()), &defs)
		}
	}
	return defs
}

func strict(t *testing.T, b []byte, to any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(to))
}

// Broken recipes must fail: this holds the test itself against mistakes.
func TestTerraformMistakesAreSeen(t *testing.T) {
	good := string(read(t, "fargate/main.tf"))
	for mistake, fix := range map[string][2]string{
		"no argument retention":          {"retention_in_days", "retention"},
		"no block platform":              {"runtime_platform {", "platform {"},
		"Unsupported attribute":          {"aws_iam_role.task.arn]", "aws_iam_role.task.aarn]"},
		"unknown field \"stopTimeouts\"": {"stopTimeout ", "stopTimeouts "},
	} {
		bad := strings.Replace(good, fix[0], fix[1], 1)
		require.NotEqual(t, good, bad, mistake)
		require.True(t, fails(t, bad), mistake)
	}
	require.False(t, fails(t, good))
}

// fails reports whether a module is refused.
func fails(t *testing.T, text string) bool {
	failed := true
	done := make(chan struct{})
	go func() { // FailNow ends a goroutine
		defer close(done)
		probe := &testing.T{}
		file, diags := hclsyntax.ParseConfig([]byte(text), "main.tf", hcl.InitialPos)
		require.False(probe, diags.HasErrors())
		body := file.Body.(*hclsyntax.Body)
		in := scope(probe, body)
		checkBlocks(probe, body, in)
		checkTaskDefinitions(probe, body, in)
		failed = probe.Failed()
	}()
	<-done
	return failed
}

// TestTerraformItself runs the program where it is installed: what it can say
// without the provider.
func TestTerraformItself(t *testing.T) {
	terraform := tool(t, "terraform", "terraform (of HashiCorp; the other tests of this file do without)")
	for _, dir := range []string{"fargate", "aws/terraform"} {
		out, err := exec.Command(terraform, "fmt", "-check", "-diff", filepath.Join(images, dir)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}
