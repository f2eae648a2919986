"""What is shown of a configuration holds none of its secrets, and all of the rest."""

from edge.runtime.masking import MASK, masked


def test_secrets_are_masked_at_any_depth_and_names_of_files_are_not() -> None:
    shown = masked(
        {
            "fleet": {
                "redis": "redis://user:hunter2@10.0.0.1:6379/0",
                "key_file": "/etc/edge/fleet.key",
                "password_file": "/etc/edge/redis.password",
            },
            "operator": [{"name": "one", "token_file": "/etc/edge/one.token"}, {"token": "hunter2"}],
            "origin": {"s3_secret": "hunter2", "secret": "hunter2", "password": "", "url": "https://a.example/b@c"},
            "tls": [{"key": "/etc/edge/a.key", "cert": "/etc/edge/a.pem"}],
            "site": [{"token_params": ["token", "md5"], "sort_params": True, "prefetch": 2}],
        }
    )
    assert "hunter2" not in str(shown)
    assert shown["fleet"] == {
        "redis": f"redis://{MASK}@10.0.0.1:6379/0",
        "key_file": "/etc/edge/fleet.key",
        "password_file": "/etc/edge/redis.password",
    }
    assert shown["operator"][0]["token_file"] == "/etc/edge/one.token"
    assert shown["operator"][1]["token"] == MASK
    assert (shown["origin"]["password"], shown["origin"]["url"]) == ("", "https://a.example/b@c")
    assert shown["tls"] == [{"key": "/etc/edge/a.key", "cert": "/etc/edge/a.pem"}]
    assert shown["site"] == [{"token_params": ["token", "md5"], "sort_params": True, "prefetch": 2}]


def test_the_configuration_in_use_is_not_changed_by_showing_it() -> None:
    said = {"a": {"secret": "hunter2"}, "b": [{"token": "hunter2"}]}
    masked(said)
    assert said == {"a": {"secret": "hunter2"}, "b": [{"token": "hunter2"}]}
