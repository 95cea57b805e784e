"""Shared seeds 002 and 004 (guide of the app): the programs that are files, run with the command line as shown."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest

from tests.seeds.support import Project, end, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

AGENT = '''
    # examples/agent.py
    import faust

    app = faust.App('stream-example')

    @app.agent()
    async def myagent(stream):
        """Example agent."""
        async for value in stream:
            print(f'MYAGENT RECEIVED -- {value!r}')
            yield value

    if __name__ == '__main__':
        app.main()
'''


def test_the_agent_program(project: Project) -> None:
    """An agent without a topic: ``agents`` shows the topic it gets; what is sent to ``@myagent`` arrives there."""
    project.write({"examples/__init__.py": "", "examples/agent.py": AGENT})
    shown = project.run("examples/agent.py", "agents")
    assert "Agents" in shown
    for cell in ("name", "topic", "help", "@myagent", "Example agent."):
        assert cell in shown
    assert "stream-example-examples.agent.myagent" in shown
    with project.start("examples/agent.py", "worker", "-l", "info") as worker:
        wait_for(worker, "Ready")
        project.run("examples/agent.py", "send", "@myagent", "hello")
        wait_for(worker, "MYAGENT RECEIVED -- 'hello'")
        end(worker)


VIEW = """
    # examples/view.py
    import faust

    app = faust.App('view-example')

    @app.page('/path/to/view/')
    async def myview(web, request):
        print(f'FOO PARAM: {request.query["foo"]}')
        return web.text('seen')

    if __name__ == '__main__':
        app.main()
"""


def test_the_view_program(project: Project) -> None:
    """A page is served by a worker, and sees the query of the request."""
    project.write({"examples/view.py": VIEW})
    with project.start("examples/view.py", "worker", "-l", "info") as worker:
        wait_for(worker, "Ready")
        url = f"http://127.0.0.1:{project.port}/path/to/view/?foo=bar"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() == b"seen"
        wait_for(worker, "FOO PARAM: bar")
        end(worker)


def test_the_umbrella_program(project: Project) -> None:
    """``app.main()`` makes a program of a file: without arguments it lists its commands, and each has help."""
    project.write(
        {
            "examples/command.py": """
                # examples/command.py
                import faust

                app = faust.App('umbrella-command-example')

                if __name__ == '__main__':
                    app.main()
            """
        }
    )
    listed = project.run("examples/command.py", status=2)
    for command in ("worker", "agents", "send", "tables"):
        assert command in listed
    assert "--loglevel" in project.run("examples/command.py", "worker", "--help")


def test_the_command_program(project: Project) -> None:
    """A function decorated with ``app.command`` is a sub-command; its docstring is its help."""
    project.write(
        {
            "examples/command.py": '''
                # examples/command.py
                import faust

                app = faust.App('example-subcommand')

                @app.command()
                async def example():
                    """This docstring is used as the command help in --help."""
                    print('RUNNING EXAMPLE COMMAND')

                if __name__ == '__main__':
                    app.main()
            '''
        }
    )
    assert "RUNNING EXAMPLE COMMAND" in project.run("examples/command.py", "example")
    helped = project.run("examples/command.py", "example", "--help")
    assert "This docstring is used as the command help in --help." in helped


def test_the_service_program(project: Project) -> None:
    """A service class starts with the app, runs its background task, and stops with the app."""
    project.write(
        {
            "examples/service.py": """
                # examples/service.py
                import faust
                from mode import Service

                app = faust.App('service-example')

                @app.service
                class MyService(Service):

                    async def on_start(self):
                        print('MYSERVICE IS STARTING')

                    async def on_stop(self):
                        print('MYSERVICE IS STOPPING')

                    @Service.task
                    async def _background_task(self):
                        while not self.should_stop:
                            print('BACKGROUND TASK WAKE UP')
                            await self.sleep(1.0)

                if __name__ == '__main__':
                    app.main()
            """
        }
    )
    with project.start("examples/service.py", "worker", "-l", "info") as worker:
        wait_for(worker, "MYSERVICE IS STARTING")
        wait_for(worker, "BACKGROUND TASK WAKE UP")
        wait_for(worker, "Ready")
        end(worker)
        assert any("MYSERVICE IS STOPPING" in line for line in worker.errors)


# -- a project of several files

PROJECT = {
    "proj/__init__.py": "",
    "proj/__main__.py": """
        # proj/__main__.py
        from proj.app import app
        app.main()
    """,
    "proj/users/__init__.py": "",
    "proj/users/agents.py": """
        from proj.app import app

        @app.agent()
        async def greet(names):
            async for name in names:
                print(f'HELLO {name}')
    """,
    "proj/users/views.py": """
        from proj.app import app

        @app.page('/users/')
        async def users(web, request):
            return web.json(['ann'])
    """,
    "proj/orders/__init__.py": "",
    "proj/orders/agents.py": """
        from proj.app import app

        @app.agent()
        async def order(orders):
            async for order in orders:
                print(f'ORDER {order}')
    """,
}

TRAVERSED = """
    # proj/app.py
    import faust

    app = faust.App(
        'proj',
        version=1,
        autodiscover=True,
        origin='proj'   # imported name for this project (import proj -> "proj")
    )

    def main() -> None:
        app.main()
"""

LISTED = """
    import faust

    app = faust.App(
        'proj',
        version=1,
        autodiscover=['proj.users', 'proj.orders'],
        origin='proj'
    )
"""


@pytest.mark.parametrize("app", [TRAVERSED, LISTED], ids=["autodiscover", "listed"])
def test_the_layout_of_a_project(project: Project, app: str) -> None:
    """Autodiscovery finds the agents of all packages, traversed from the origin or listed by name."""
    project.write({**PROJECT, "proj/app.py": app})
    shown = project.run("-m", "proj", "agents")
    assert "@users.agents.greet" in shown
    assert "@orders.agents.order" in shown


def test_python_m_starts_the_project(project: Project) -> None:
    """``python -m proj worker -l info`` runs ``__main__.py``, whose app has the pages and agents of the packages."""
    project.write({**PROJECT, "proj/app.py": TRAVERSED})
    with project.start("-m", "proj", "worker", "-l", "info") as worker:
        wait_for(worker, "Ready")
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/users/", timeout=20) as page:
            assert page.read() == b'["ann"]'
        end(worker)


@pytest.fixture
def installed(project: Project, tmp_path: Path) -> Path:
    """The project, installed by its ``setup.py`` into a directory of its own."""
    project.write(
        {
            **PROJECT,
            "proj/app.py": TRAVERSED,
            "setup.py": """
                #!/usr/bin/env python
                from setuptools import find_packages, setup

                setup(
                    name='proj',
                    version='1.0.0',
                    description='Use Faust to blah blah blah',
                    author='Ola Normann',
                    author_email='ola.normann@example.com',
                    url='http://proj.example.com',
                    platforms=['any'],
                    license='Proprietary',
                    packages=find_packages(exclude=['tests', 'tests.*']),
                    include_package_data=True,
                    zip_safe=False,
                    install_requires=['faust'],
                    python_requires='>=3.6',
                    entry_points={
                        'console_scripts': [
                            'proj = proj.app:main',
                        ],
                    },
                )
            """,
        }
    )
    project.run("setup.py", "-q", "egg_info")
    project.env["PYTHONPATH"] = str(tmp_path)
    return tmp_path


def test_the_project_as_a_program(installed: Path, project: Project) -> None:
    """The entry point that ``setup.py`` declares runs ``main`` of the app."""
    entries = (installed / "proj.egg-info" / "entry_points.txt").read_text()
    assert "proj = proj.app:main" in entries
    shown = project.run(
        "-c",
        "import sys; sys.argv[0] = 'proj'\n"
        "from importlib.metadata import entry_points\n"
        "[entry] = [e for e in entry_points(group='console_scripts') if e.name == 'proj']\n"
        "entry.load()()",
        "agents",
    )
    assert "@users.agents.greet" in shown


# -- faust -A


def test_finding_the_app_of_a_module(project: Project) -> None:
    """``faust -A myproj`` takes ``app`` of the module, ``-A myproj:faust_app`` another name."""
    project.write(
        {
            "myproj.py": """
                import faust

                faust_app = app = faust.App('myproj')

                @app.task
                async def mytask():
                    print('APP STARTED AND OPERATIONAL')
            """
        }
    )
    for name in ("myproj", "myproj:faust_app"):
        with project.start("-m", "faust", "-A", name, "worker", "-l", "info") as worker:
            wait_for(worker, "APP STARTED AND OPERATIONAL")
            wait_for(worker, "Ready")
            end(worker)


def test_a_module_that_is_a_program(project: Project) -> None:
    """Two lines at the end of a module make it the faust program; ``-A example.simple`` finds it as well."""
    project.write(
        {
            "example/__init__.py": "",
            "example/simple.py": """
                import faust

                app = faust.App('simple')
                table = app.Table('things', help='Things.')

                if __name__ == '__main__':
                    app.main()
            """,
        }
    )
    assert "Things." in project.run("example/simple.py", "tables")
    assert "Things." in project.run("-m", "faust", "-A", "example.simple", "tables")
