import java.net.URI;
import software.amazon.awssdk.services.sts.StsClient;

/** Prints the caller's ARN as the default chain of the Java SDK sees it. */
class Probe {
    public static void main(String[] args) {
        try (StsClient c = StsClient.builder().endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL_STS"))).build()) {
            System.out.println(c.getCallerIdentity().arn());
        }
    }
}
