// container('maven') { sh 'mvn -B verify' }
//
// Runs the steps of the block in another container of the same pod or task, on
// nodes that the kubernetes plugin does not know: Fargate, ECS, EC2 with docker.
// That container runs `jenkins-agent hold` and is called by the name it was given
// (FOOTMAN_CONTAINER_NAME).
//
// A library's step hides a plugin's of the same name, so on nodes of the kubernetes
// plugin this one calls that, with all its parameters. To use hold there, whatever
// the plugin's version, take footman(…) of this library, which has no twin.
//
// Steps that launch programs (sh, and tools that plugins launch) go to the
// container; steps about files (readFile, stash, …) stay with the agent, which
// sees the same volume.
def call(String name, Closure body) {
    return call([name: name], body)
}

def call(Map args, Closure body) {
    boolean began = false // what the block throws is not ours to judge
    try {
        return steps.container(args) {
            began = true
            body()
        }
    } catch (NoSuchMethodError e) { // no kubernetes plugin
        if (began) {
            throw e
        }
    } catch (hudson.AbortException e) {
        if (began || e.message == null || !e.message.startsWith('Node is not a Kubernetes node')) {
            throw e
        }
    }
    return footman(args.name, body)
}
