"""`python -m tests.support.s3server`: moto with authentication on, which recomputes each signature.

Says in one line of JSON where it is and what opens it, and ends with its standard input.
"""

import base64
import json
import sys
from typing import Any

import boto3
from moto import settings
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
BUCKET = "films"
REGION = "eu-north-1"


def serve(objects: dict[str, bytes]) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    usual: dict[str, Any] = {
        "endpoint_url": url,
        "region_name": REGION,
        "aws_access_key_id": "root",
        "aws_secret_access_key": "root",
    }
    iam, s3 = boto3.client("iam", **usual), boto3.client("s3", **usual)
    iam.create_user(UserName="edge")
    iam.put_user_policy(UserName="edge", PolicyName="read", PolicyDocument=POLICY)
    key = iam.create_access_key(UserName="edge")["AccessKey"]
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, body in objects.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=body)
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0  # from now on nobody gets in without a signature
    print(json.dumps({"url": url, "key_id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve({name: base64.b64decode(body) for name, body in json.loads(sys.stdin.readline()).items()})
