"""The files of ingress-nginx on Debian's nginx: the controller's own /etc/nginx, and what is changed in it.

Debian's nginx is not the one of the project's image: five modules are loaded by ConfigMap, the `stream` block, which
needs Lua too, leads to a sink, and the Lua libraries that Debian lacks are in `ingress_nginx_lua`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import tools

_MODULES = (
    "ndk_http_module",
    "ngx_http_lua_module",
    "ngx_http_headers_more_filter_module",
    "ngx_http_set_misc_module",
    "ngx_stream_module",
)
LUA = Path(__file__).parent / "ingress_nginx_lua"


def source() -> Path:
    """Return the folder of the controller's Go module, which has more than Go."""
    return tools.module_folder("k8s.io/ingress-nginx", pinned_by="ingress-nginx")


def release() -> Path:
    """Return the file of the manifests that the release has for kind."""
    return source() / "deploy/static/provider/kind/deploy.yaml"


def settings(root: Path) -> dict[str, str]:
    """Return the controller's ConfigMap where Debian's packages are below `root`."""
    modules = [f"load_module {root / 'usr/lib/nginx/modules' / name}.so;" for name in _MODULES]
    return {
        "worker-processes": "1",
        "use-http2": "false",
        "annotations-risk-level": "Critical",
        "main-snippet": "\n".join(["user root;", *modules]),
        "http-snippet": f'lua_package_cpath "{root / "usr/lib/x86_64-linux-gnu/lua/5.1"}/?.so;;";',
    }


def lay_out(root: Path, target: Path, sink: int) -> None:
    """Make the controller's /etc/nginx: its own files, Debian's Lua libraries, and ours for those that Debian lacks."""
    own = source() / "rootfs/etc/nginx"
    shutil.copytree(own, target, copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    shutil.copyfile(root / "etc/nginx/mime.types", target / "mime.types")
    for libraries in (root / "usr/share/lua/5.1", LUA):
        shutil.copytree(libraries, target / "lua", dirs_exist_ok=True, copy_function=shutil.copyfile)
    # The sandbox has one user only, whom it calls root.
    config = target / "nginx.conf"
    config.write_text("user root;\n" + config.read_text())
    template = target / "template/nginx.tmpl"
    text = template.read_text()
    start = text.index("\nstream {\n")
    end = text.index("\n}\n", start) + 3
    plain = f"server {{ listen 127.0.0.1:{{{{ .StreamPort }}}}; proxy_pass 127.0.0.1:{sink}; }}"
    template.write_text(text[:start] + "\nstream {\n    " + plain + "\n}\n" + text[end:])
