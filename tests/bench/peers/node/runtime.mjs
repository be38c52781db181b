// The Runtime API loop of AWS's Node.js runtime: `node runtime.mjs <module>`. The published client, `aws-lambda-ric`,
// builds native code with cmake when it is installed; this loop does the same requests without it.
import http from "node:http";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const base = "/2018-06-01/runtime/invocation";

export function request(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host, port, agent, method, path, headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(parts) }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** An answer that is sent while it is made: metadata, eight zeros, then the body. */
function stream(path, metadata) {
  const sent = http.request({
    host, port, method: "POST", path,
    headers: { "lambda-runtime-function-response-mode": "streaming",
      "content-type": "application/vnd.awslambda.http-integration-response" },
  });
  const done = new Promise((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (answer) => answer.resume().on("end", resolve));
  });
  sent.write(Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]));
  return { sent, done };
}

const { handler } = await import(new URL(process.argv[2], import.meta.url));
for (;;) {
  const next = await request("GET", `${base}/next`);
  const id = next.headers["lambda-runtime-aws-request-id"];
  const context = {
    awsRequestId: id,
    stream: (metadata) => stream(`${base}/${id}/response`, metadata),
  };
  try {
    const answer = await handler(JSON.parse(next.body), context);
    if (answer !== undefined) await request("POST", `${base}/${id}/response`, JSON.stringify(answer));
  } catch (error) {
    const failure = { errorType: error.name, errorMessage: error.message };
    await request("POST", `${base}/${id}/error`, JSON.stringify(failure));
  }
}
