// footman('maven') { sh 'mvn -B verify' }
//
// container(…) of this library by a name that the kubernetes plugin has not taken.
def call(String name, Closure body) {
    if (!(name ==~ /[A-Za-z0-9][A-Za-z0-9_.-]{0,62}/)) {
        error "footman: '${name}' is no name of a container"
    }
    withEnv(["FOOTMAN_CONTAINER=${name}"]) {
        body()
    }
}
