"""What handlers find in the application, by typed keys."""

from __future__ import annotations

from aiohttp import web

from marquetry.engine.folders import Folders
from marquetry.server.check import GraphCheck
from marquetry.server.comfy.sockets import Sockets
from marquetry.server.database.database import Database
from marquetry.server.jobs.service import JobService
from marquetry.server.logs import LogBuffer
from marquetry.server.object_info import ObjectInfo
from marquetry.server.openapi import OpenApi
from marquetry.server.packs import PackFiles
from marquetry.server.people import People
from marquetry.server.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
FOLDERS = web.AppKey("folders", Folders)
JOBS = web.AppKey("jobs", JobService)
DATABASE = web.AppKey("database", Database)
CHECK = web.AppKey("check", GraphCheck)
SOCKETS = web.AppKey("sockets", Sockets)
OBJECT_INFO = web.AppKey("object_info", ObjectInfo)
PEOPLE = web.AppKey("people", People)
PACK_FILES = web.AppKey("pack_files", PackFiles)
LOGS = web.AppKey("logs", LogBuffer)
OPENAPI = web.AppKey("openapi", OpenApi)
STARTED_S = web.AppKey("started_s", float)
