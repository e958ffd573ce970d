// Prints the caller's ARN as the default chain of the JavaScript SDK sees it.
import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";
try {
  const r = await new STSClient({}).send(new GetCallerIdentityCommand({}));
  console.log(r.Arn);
} catch (e) {
  console.log("ERR", e.name, e.message);
  process.exit(1);
}
